"""What AWS asks for, in one place: on-demand list prices of us-east-1 in dollars, first tier, without free tiers.

AWS's pages load their figures by script, so that not every one could be read there. `source` says what each figure was
compared with on the date below; check them on the page before money depends on them.
"""

from dataclasses import dataclass

REGION = "us-east-1"
CHECKED = "2026-11-21"


@dataclass(frozen=True, slots=True)
class Price:
    """One price.

    Attributes:
        what: what is paid for.
        dollars: for so many (`per`) of it.
        page: AWS's page of it.
        source: where the figure was read on the date `CHECKED`.
    """

    what: str
    dollars: float
    per: int
    page: str
    source: str

    def of(self, amount: float) -> float:
        """Dollars for so much of it."""
        return self.dollars * amount / self.per


_MILLION = 1_000_000
_AWS = "AWS's own page, a stored copy"
_OTHERS = "pages of others, which agree; not on AWS's"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_STEPS = "https://aws.amazon.com/step-functions/pricing/"

GATEWAY_REQUEST = Price(
    "API Gateway, REST: requests",
    3.50,
    _MILLION,
    "https://aws.amazon.com/api-gateway/pricing/",
    "AWS's whitepaper on private APIs of API Gateway",
)
LAMBDA_REQUEST = Price("Lambda: requests", 0.20, _MILLION, _LAMBDA, _OTHERS)
LAMBDA_GB_SECOND = Price("Lambda, arm64: GB-seconds", 13.3334, _MILLION, _LAMBDA, _OTHERS)
EXPRESS_REQUEST = Price("Step Functions, EXPRESS: requests", 1.00, _MILLION, _STEPS, _AWS)
EXPRESS_GB_SECOND = Price("Step Functions, EXPRESS: GB-seconds (0.06 a GB-hour)", 0.06, 3_600, _STEPS, _AWS)
STANDARD_TRANSITION = Price("Step Functions, STANDARD: transitions", 25.00, _MILLION, _STEPS, _OTHERS)
READ_UNIT = Price("DynamoDB, on demand: read units", 0.125, _MILLION, _DYNAMODB, _OTHERS)
WRITE_UNIT = Price("DynamoDB, on demand: write units", 0.625, _MILLION, _DYNAMODB, _OTHERS)
QUEUE_REQUEST = Price(
    "SQS, standard: requests of at most 64 KB", 0.40, _MILLION, "https://aws.amazon.com/sqs/pricing/", _OTHERS
)
LOG_BYTE = Price(
    "CloudWatch Logs, standard: bytes taken in",
    0.50,
    1_000_000_000,
    "https://aws.amazon.com/cloudwatch/pricing/",
    _OTHERS,
)
TRACE = Price("X-Ray: traces recorded", 5.00, _MILLION, "https://aws.amazon.com/xray/pricing/", _AWS)

ALL = (
    GATEWAY_REQUEST,
    LAMBDA_REQUEST,
    LAMBDA_GB_SECOND,
    EXPRESS_REQUEST,
    EXPRESS_GB_SECOND,
    STANDARD_TRANSITION,
    READ_UNIT,
    WRITE_UNIT,
    QUEUE_REQUEST,
    LOG_BYTE,
    TRACE,
)
