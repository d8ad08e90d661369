"""Worker: reads the queue of uploads, and builds of each a version that can be run, or says why not."""

from typing import Any

from shared.domain import builds
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> None:
    for message in event["Records"]:
        builds.answer(message)
