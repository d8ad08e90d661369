"""Worker: ends a run whose machine caught an error."""

from typing import Any

from shared.domain import failures
from shared.store.table import TenantStore
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    error = event["error"]
    failures.end(TenantStore(event["tenant_id"]), event["run_id"], error["Error"], error.get("Cause", ""))
