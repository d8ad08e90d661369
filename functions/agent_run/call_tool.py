"""Worker: one tool call of a run, behind the tool guards."""

from typing import Any

from shared.domain import tool_calls
from shared.store.table import TenantStore
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    tool_calls.call(TenantStore(event["tenant_id"]), event["run_id"], event["tool_call_id"])
