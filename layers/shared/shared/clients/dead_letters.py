"""Where records go that cannot be worked on, so that those behind them can."""

import json
from collections.abc import Mapping
from typing import Any

from shared import metrics
from shared.clients import queues
from shared.telemetry import measure

_MAX_BYTES = 200_000


def park(record: Mapping[str, Any], reason: str, queue: str) -> None:
    """Put a stream record aside, with the reason; 1 request. One that no message can hold goes without its images.

    Args:
        queue: the setting that names the queue.
    """
    letter: dict[str, Any] = {"reason": reason, "record": record}
    if len(json.dumps(letter, ensure_ascii=False).encode("utf-8", "replace")) > _MAX_BYTES:
        said = record.get("dynamodb", {})
        place = {name: said.get(name) for name in ("Keys", "SequenceNumber", "ApproximateCreationDateTime")}
        letter["record"] = {name: record.get(name) for name in ("eventID", "eventName")} | {"dynamodb": place}
    queues.send(queue, letter)
    measure({metrics.RECORDS_PARKED: 1}, {"queue": queue.removesuffix("_DEAD_LETTERS").lower()})
