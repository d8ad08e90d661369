"""Worker: one model call of a run. The only function that loads openai."""

from dataclasses import asdict
from typing import Any

from shared.domain import turns
from shared.store.table import TenantStore
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return asdict(turns.take(TenantStore(event["tenant_id"]), event["run_id"]))
