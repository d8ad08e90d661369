"""Worker: the call of an agent's own code, which ends its run."""

from typing import Any

from shared.domain import code_calls
from shared.store.table import TenantStore
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    code_calls.call(TenantStore(event["tenant_id"]), event["run_id"])
