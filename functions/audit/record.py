"""Worker: what follows from changes in the table, from its stream: audit records, figures, wishes for gateway keys."""

from typing import Any

from shared.domain import changes
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return changes.follow(event["Records"])
