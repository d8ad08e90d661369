"""Counts what an operation asks of DynamoDB: real requests of the real handlers, with their units.

Write units are the emulator's, which are right (5 KB = 5 units, twice that in a transaction). Read units are worked
out from the items that came back, since the emulator reports a constant: every read here is strongly consistent, so
one unit for each 4 KB, of each item of a get and of all items of a query together (Amazon DynamoDB Developer Guide,
"Read and write request units").
"""

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

READERS = ("AuditRecord", "TenantsProvision")
"""Functions that follow the table's stream. Threads of the local runtime are named after their functions."""


@dataclass(slots=True)
class Tally:
    """Requests by operation of the DynamoDB API, and request units."""

    requests: Counter[str] = field(default_factory=Counter)
    read_units: float = 0
    write_units: float = 0

    @property
    def total(self) -> int:
        return self.requests.total()


@contextmanager
def counted() -> Iterator[Tally]:
    """Counts what this process sends to DynamoDB meanwhile, but for the stream's readers, which nobody waits for."""
    # The runtime imports the layer afresh, so the client is looked up when it is there, not when this file is read.
    from shared.clients import aws

    tally = Tally()
    events = aws.dynamodb().meta.events

    def ask_for_units(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"

    def add(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if threading.current_thread().name.startswith(READERS):
            return
        tally.requests[model.name] += 1
        if model.name in {"GetItem", "Query", "BatchGetItem"}:
            tally.read_units += _read_units(model.name, parsed)
        else:
            used = parsed.get("ConsumedCapacity", {})
            for capacity in used if isinstance(used, list) else [used]:
                tally.write_units += capacity.get("CapacityUnits", 0)

    events.register("provide-client-params.dynamodb", ask_for_units)
    events.register("after-call.dynamodb", add)
    try:
        yield tally
    finally:
        events.unregister("provide-client-params.dynamodb", ask_for_units)
        events.unregister("after-call.dynamodb", add)


def _read_units(operation: str, answer: dict[str, Any]) -> int:
    if operation == "GetItem":
        return _units(_size(answer.get("Item", {})))
    if operation == "Query":
        return _units(sum(_size(item) for item in answer["Items"]))
    return sum(_units(_size(item)) for items in answer["Responses"].values() for item in items)


def _units(size: int) -> int:
    return max(1, math.ceil(size / 4096))


def _size(item: dict[str, Any]) -> int:
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: dict[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "M":
        return 3 + _size(content)
    return len(str(content).encode())
