"""AWS clients: one of each per environment, made on first use."""

from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from shared.config import settings

if TYPE_CHECKING:
    from mypy_boto3_apigateway import APIGatewayClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient


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
    return boto3.client("dynamodb", config=_config(connect_timeout=1, read_timeout=5, retries=retries))


@cache
def stepfunctions() -> "SFNClient":
    """Step Functions; a synchronous start is waited for `SYNC_WAIT_SECONDS` and never started twice."""
    retries: Any = {"total_max_attempts": 1}
    wait = settings().sync_wait_seconds
    return boto3.client("stepfunctions", config=_config(connect_timeout=2, read_timeout=wait, retries=retries))


@cache
def stepfunctions_control() -> "SFNClient":
    """Step Functions for what answers at once and may be repeated: an execution's name makes its start idempotent."""
    retries: Any = {"mode": "standard", "total_max_attempts": 3}
    return boto3.client("stepfunctions", config=_config(connect_timeout=2, read_timeout=5, retries=retries))


@cache
def secretsmanager() -> "SecretsManagerClient":
    """Secrets Manager."""
    return boto3.client("secretsmanager", config=_config(connect_timeout=2, read_timeout=5))


@cache
def apigateway() -> "APIGatewayClient":
    """API Gateway's control plane, which takes few requests a second: patient."""
    retries: Any = {"mode": "adaptive", "total_max_attempts": 8}
    return boto3.client("apigateway", config=_config(connect_timeout=2, read_timeout=20, retries=retries))


@cache
def sqs() -> "SQSClient":
    """SQS."""
    return boto3.client("sqs", config=_config(connect_timeout=2, read_timeout=5))
