"""The table's stream on paper: what each write changed, as Lambda gives it, through the filters of the template."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from tests.unit.support.gateway import functions, load

Items = Callable[[], list[dict[str, Any]]]
Record = dict[str, Any]


class TableStream:
    """Records the table's changes while it watches.

    Attributes:
        records: all changes, in order, before any filter.
        messages: what the reader sent to queues, with the queue's setting and what keeps it in order.
    """

    def __init__(self, items: Items) -> None:
        self._items = items
        self.records: list[Record] = []
        self.messages: list[tuple[str, Any, dict[str, Any]]] = []

    def around(self, write: Callable[[], None]) -> None:
        """Do a write, and keep what it changed."""
        before = self._state()
        try:
            write()
        finally:
            after = self._state()
            for place in {**before, **after}:
                if before.get(place) != after.get(place):
                    self.records.append(self._record(place, before.get(place), after.get(place)))

    def wanted(self) -> list[Record]:
        """The changes that the filters of the template let through."""
        return [record for record in self.records if any(matches(record, pattern) for pattern in patterns())]

    def deliver(self, records: Iterable[Record] | None = None, times: int = 1) -> dict[str, Any]:
        """Call the stream's reader; with all that is wanted, if nothing is given. Returns its last answer."""
        batch = self.wanted() if records is None else list(records)
        answer: dict[str, Any] = {}
        for _ in range(times):
            answer = load("audit/record").handler({"Records": json.loads(json.dumps(batch))}, None)
        return answer

    def deliver_astray(self, seed: int) -> None:
        """At least once each, in any order, in batches of any size, some cut off in the middle."""
        chance = random.Random(seed)
        records = self.wanted() * 3
        chance.shuffle(records)
        while records:
            size = chance.randint(1, 10)
            self.deliver(records[:size])
            # A batch may come again from anywhere on.
            records = records[chance.randint(1, size) :]

    def _state(self) -> dict[tuple[str, str], dict[str, Any]]:
        return {(item["pk"]["S"], item["sk"]["S"]): item for item in self._items()}

    def _record(self, place: tuple[str, str], old: Any, new: Any) -> Record:
        kind = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
        images = {"OldImage": old, "NewImage": new}
        return {
            "eventID": f"event-{len(self.records)}",
            "eventName": kind,
            "eventSource": "aws:dynamodb",
            "dynamodb": {
                "Keys": {"pk": {"S": place[0]}, "sk": {"S": place[1]}},
                "SequenceNumber": f"{len(self.records):021d}",
                "StreamViewType": "NEW_AND_OLD_IMAGES",
                **{name: image for name, image in images.items() if image is not None},
            },
        }


def patterns() -> list[dict[str, Any]]:
    """The filters of the reader in the template."""
    (event,) = functions()["AuditRecord"]["Events"].values()
    return [json.loads(one["Pattern"]) for one in event["Properties"]["FilterCriteria"]["Filters"]]


def matches(value: Any, pattern: dict[str, Any]) -> bool:
    """AWS Lambda Developer Guide, "Control which events Lambda sends to your function", as far as we use it."""
    if not isinstance(value, dict):
        return False
    return all(
        matches(value.get(name), rule) if isinstance(rule, dict) else any(_fits(value.get(name), one) for one in rule)
        for name, rule in pattern.items()
    )


def _fits(value: Any, rule: Any) -> bool:
    match rule:
        case {"exists": exists}:
            return (value is not None) is exists
        case {"prefix": prefix}:
            return isinstance(value, str) and value.startswith(prefix)
        case {"suffix": suffix}:
            return isinstance(value, str) and value.endswith(suffix)
        case str():
            return bool(value == rule)
    raise AssertionError(f"this test knows no rule {rule}")
