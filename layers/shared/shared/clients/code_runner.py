"""The function that runs agents' own code, in an environment of the tenant's alone."""

import json
import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.clients import aws
from shared.errors import RunnerUnavailable

_tenant: ContextVar[str] = ContextVar("tenant")


def invoke(tenant_id: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """Have a task carried out, and wait for it; 1 request.

    Args:
        tenant_id: Lambda keeps environments apart by it (AWS Lambda Developer Guide, "Tenant isolation mode").

    Raises:
        RunnerUnavailable: the function was not reached, or failed.
    """
    client = aws.lambda_()
    client.meta.events.register("before-call.lambda.Invoke", _name_tenant, unique_id="tenant")
    _tenant.set(tenant_id)
    try:
        answer = client.invoke(FunctionName=os.environ["CODE_RUNNER"], Payload=json.dumps(task).encode())
        said = json.loads(answer["Payload"].read())
    except (ClientError, BotoCoreError, ValueError) as error:
        raise RunnerUnavailable("The function that runs agents' code was not reached.") from error
    if "FunctionError" in answer or not isinstance(said, dict):
        raise RunnerUnavailable("The function that runs agents' code failed.")
    return said


def _name_tenant(params: dict[str, Any], **_: Any) -> None:
    """Say whose environment is asked for. The runtime's own client may be older than the parameter `TenantId`."""
    params["headers"]["X-Amz-Tenant-Id"] = _tenant.get()
