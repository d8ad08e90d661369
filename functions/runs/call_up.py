"""Reads the table's stream: starts the runs that their sessions have called from the queue."""

from typing import Any

from shared.domain import session_queue
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return session_queue.call_all(event["Records"])
