"""AWS clients: one of each per environment, made on first use."""

from functools import cache
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session

from shared.config import settings

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


_SERVICES = ["apigateway", "dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions"]

# Parts of DynamoDB's requests and answers that are the same in JSON, but for bytes, of which the table has none.
# botocore would look into each value for each of ten types, for more than a third of the time that a page of 50 takes.
_AS_IT_STANDS = ("AttributeValue", "BatchGetItemOutput", "GetItemOutput", "QueryOutput")


class _Loader(Loader):
    """Reads the runtime's own descriptions of services, and knows which there are: botocore's looks through the folders
    of all four hundred to see whether one that is asked for exists, twice for a client (30 ms of a cold start)."""

    def list_available_services(self, type_name: str) -> list[str]:
        return _SERVICES

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        model: Any = super().load_service_model(service_name, type_name, api_version)
        if service_name == "dynamodb" and "shapes" in model:
            for shape in _AS_IT_STANDS:
                model["shapes"][shape]["document"] = True
        return model


_LOADER = _Loader()


def make(service: str, config: Config) -> Any:
    """A new client; the local runtime puts its own maker of clients here."""
    # What boto3 adds to this, copies of files to S3 and objects for resources, costs 20 ms of a cold start.
    session = Session()
    session.register_component("data_loader", _LOADER)
    return session.create_client(service, config=config)


def _config(**options: Any) -> Config:
    return Config(
        # A custom endpoint has no "sync-" host of its own, so the prefix that StartSyncExecution adds must go.
        inject_host_prefix=settings().aws_endpoint is None,
        # Every request is built by our own code, in few places; checking each against the model costs time.
        parameter_validation=False,
        # Without a name of our own botocore puts one together anew for every request, a tenth of its time.
        user_agent="agent-platform",
        max_pool_connections=64,
        **options,
    )


@cache
def dynamodb() -> "DynamoDBClient":
    """DynamoDB, with short timeouts: a request that hangs for a second will not come back."""
    retries: Any = {"mode": "standard", "total_max_attempts": 4}
    client: DynamoDBClient = make("dynamodb", config=_config(connect_timeout=1, read_timeout=5, retries=retries))
    return client


@cache
def stepfunctions() -> "SFNClient":
    """Step Functions; a synchronous start is waited for `SYNC_WAIT_SECONDS` and never started twice."""
    retries: Any = {"total_max_attempts": 1}
    wait = settings().sync_wait_seconds
    client: SFNClient = make("stepfunctions", config=_config(connect_timeout=2, read_timeout=wait, retries=retries))
    return client


@cache
def stepfunctions_control() -> "SFNClient":
    """Step Functions for what answers at once and may be repeated: an execution's name makes its start idempotent."""
    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    client: SFNClient = make("stepfunctions", config=_config(connect_timeout=2, read_timeout=5, retries=retries))
    return client


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Secrets Manager."""
    client: SecretsManagerClient = make("secretsmanager", config=_config(connect_timeout=2, read_timeout=5))
    return client


@cache
def apigateway() -> "APIGatewayClient":
    """API Gateway's control plane, which takes few requests a second: patient."""
    retries: Any = {"mode": "adaptive", "total_max_attempts": 8}
    client: APIGatewayClient = make("apigateway", config=_config(connect_timeout=2, read_timeout=20, retries=retries))
    return client


@cache
def sqs() -> "SQSClient":
    """SQS."""
    client: SQSClient = make("sqs", config=_config(connect_timeout=2, read_timeout=5))
    return client


@cache
def s3() -> "S3Client":
    """S3; version 4 of the signature, since links of version 2 are refused by younger regions.

    Both attempts end before the 29 s of a function do, which can then say that its upload failed.
    """
    retries: Any = {"mode": "standard", "total_max_attempts": 2}
    options: Any = {"signature_version": "s3v4", "retries": retries}
    if settings().aws_endpoint is None:
        # Else links and forms lead to one host for all regions, which sends those of young buckets on.
        options["s3"] = {"addressing_style": "virtual"}
    client: S3Client = make("s3", config=_config(connect_timeout=2, read_timeout=10, **options))
    return client


@cache
def lambda_() -> "LambdaClient":
    """Lambda; an invocation is waited for as long as its function may take, and never repeated from here."""
    retries: Any = {"total_max_attempts": 1}
    client: LambdaClient = make("lambda", config=_config(connect_timeout=2, read_timeout=70, retries=retries))
    return client
