"""Worker: reads the table's stream, and gives each tenant its key and plan at the gateway."""

from typing import Any

from shared.domain import gateway_keys
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    for record in event["Records"]:
        gateway_keys.follow(record)
