"""What requests leave behind: the writes that DynamoDB took, by the kind of place that they went to."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.counting import READERS

# Ids, the ids of keys, and digests.
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=^KEY#)[0-9A-Za-z]{16}$|[0-9a-f]{64}")
# What the platform writes about requests, however often they come.
_BOOKKEEPING = re.compile(r"IDEMPOTENCY|COUNTER|AUDIT|USAGE|ATTEMPTS|#STAT$")
_ACTIONS = {"PutItem": "Put", "UpdateItem": "Update", "DeleteItem": "Delete"}


@dataclass(frozen=True, slots=True)
class Effect:
    """One write that was not refused: its kind, such as ``Put AGENT``, and the item that it left or took away."""

    kind: str
    item: tuple[str, str]


@contextmanager
def committed() -> Iterator[list[Effect]]:
    """Gathers the writes that this process sends meanwhile and that DynamoDB takes, but for the stream's readers'."""
    # The runtime imports the layer afresh, so the client is looked up when it is there, not when this file is read.
    from shared.clients import aws

    found: list[Effect] = []
    events = aws.dynamodb().meta.events

    def remember(params: dict[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        context["sent"] = params

    def add(http_response: Any, model: Any, context: dict[str, Any], **_: Any) -> None:
        behind = threading.current_thread().name.startswith(READERS)
        if http_response.status_code == 200 and "sent" in context and not behind:
            found.extend(_effects(model.name, context["sent"]))

    events.register("provide-client-params.dynamodb", remember)
    events.register("after-call.dynamodb", add)
    try:
        yield found
    finally:
        events.unregister("provide-client-params.dynamodb", remember)
        events.unregister("after-call.dynamodb", add)


def _effects(operation: str, params: dict[str, Any]) -> Iterator[Effect]:
    writes: list[tuple[str, Any]] = []
    if operation == "TransactWriteItems":
        writes = [(action, each[action]) for each in params["TransactItems"] for action in each]
    elif operation in _ACTIONS:
        writes = [(_ACTIONS[operation], params)]
    for action, write in writes:
        key = write.get("Item") or write["Key"]
        place = re.sub(r"^TENANT#[^#]*#", "", key["pk"]["S"])
        if action != "ConditionCheck" and not _BOOKKEEPING.search(place):
            yield Effect(f"{action} {_ID.sub('*', place)}", (key["pk"]["S"], key["sk"]["S"]))
