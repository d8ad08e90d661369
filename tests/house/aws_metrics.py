"""The metrics that alarms and dashboard may name: AWS's as AWS documents them, looked up on 2026-11-21, and our own.

Of each namespace the page, and of each metric the sets of dimensions under which it is kept.
"""

from shared import metrics

_API = "docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html"
_DYNAMODB = "docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html"
_LAMBDA = "docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html"
_SQS = "docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"
_STATES = "docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html"

Dimensions = frozenset[str]


def _each(names: str, *dimensions: set[str]) -> dict[str, frozenset[Dimensions]]:
    return {name: frozenset(map(frozenset, dimensions)) for name in names.split()}


# Namespace: the page, and its metrics.
METRICS: dict[str, tuple[str, dict[str, frozenset[Dimensions]]]] = {
    "AWS/ApiGateway": (
        _API,
        _each("4XXError 5XXError Count IntegrationLatency Latency", {"ApiName"}, {"ApiName", "Stage"}),
    ),
    "AWS/DynamoDB": (
        _DYNAMODB,
        _each(
            "ConsumedReadCapacityUnits ConsumedWriteCapacityUnits ReadThrottleEvents WriteThrottleEvents", {"TableName"}
        )
        | _each("SuccessfulRequestLatency SystemErrors ThrottledRequests", {"TableName", "Operation"}),
    ),
    "AWS/Lambda": (
        _LAMBDA,
        _each("ConcurrentExecutions Duration Errors Invocations Throttles", set(), {"FunctionName"})
        | _each("IteratorAge", {"FunctionName"}),
    ),
    "AWS/SQS": (
        _SQS,
        _each(
            "ApproximateAgeOfOldestMessage ApproximateNumberOfMessagesVisible NumberOfMessagesReceived "
            "NumberOfMessagesSent",
            {"QueueName"},
        ),
    ),
    "AWS/States": (
        _STATES,
        _each(
            "ExecutionsAborted ExecutionsFailed ExecutionsStarted ExecutionsSucceeded ExecutionsTimedOut "
            "ExecutionThrottled ExecutionTime",
            {"StateMachineArn"},
        ),
    ),
}

OURS: tuple[str, dict[str, frozenset[Dimensions]]] = (
    "layers/shared/shared/metrics.py",
    {
        metric.name: frozenset(
            frozenset({metrics.SERVICE, *metric.dimensions, *error})
            for error in ([], [metrics.ERROR_TYPE])[: 2 if metric.errors else 1]
        )
        for metric in metrics.METRICS
    },
)
