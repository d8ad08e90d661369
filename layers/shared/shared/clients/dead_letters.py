"""Where records go that cannot be worked on, so that those behind them can."""

import json
import os
from collections.abc import Mapping
from typing import Any

from shared import metrics
from shared.clients import aws
from shared.telemetry import measure

_MAX_BYTES = 200_000


def park(record: Mapping[str, Any], reason: str, queue: str = "AUDIT_DEAD_LETTERS") -> None:
    """Put a stream record aside, with the reason; 1 request. One that no message can hold goes without its images.

    Args:
        queue: the setting that names the queue.
    """
    text = json.dumps({"reason": reason, "record": record}, ensure_ascii=False)
    if len(text.encode("utf-8", "replace")) > _MAX_BYTES:
        said = record.get("dynamodb", {})
        place = {name: said.get(name) for name in ("Keys", "SequenceNumber", "ApproximateCreationDateTime")}
        text = json.dumps({"reason": reason, "record": {"eventID": record.get("eventID"), "dynamodb": place}})
    aws.sqs().send_message(QueueUrl=os.environ[queue], MessageBody=text)
    measure({metrics.RECORDS_PARKED: 1}, {"queue": queue.removesuffix("_DEAD_LETTERS").lower()})
