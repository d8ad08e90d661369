"""Worker: reads the queue of tenants that changed, and gives each its key and plan at the gateway."""

from typing import Any

from shared.domain import gateway_keys
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    for message in event["Records"]:
        gateway_keys.answer(message)
