"""Counts what an operation asks of AWS: real requests of the real handlers, with their units, and what they start.

Write units are the emulator's, which are right (5 KB = 5 units, twice that in a transaction; 1 for an entry of an index
that comes or goes, 2 for one that moves, in a transaction or not). Read units are worked out from the items that came
back, since the emulator reports a constant: every read of the table is strongly consistent, so one unit for each 4 KB,
of each item of a get and of all items of a query together; a query of an index is half of that (Amazon DynamoDB
Developer Guide, "Read and write request units").
"""

import json
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from local.host import Host
from local.permissions import at_work
from local.web import WebHost

READERS = ("AuditRecord", "TenantsProvision")
"""Functions that follow the table's stream. Threads of the local runtime are named after their functions."""
WATCHER = "RunStreamStart"
_SETTLE_SECONDS = 90
_EVENT = "EVENT#"


@dataclass(slots=True)
class Tally:
    """What was asked and started, but for the readers of the table's stream.

    Attributes:
        requests: by operation of the DynamoDB API; by_function: the same requests by who sent them.
        looks: reads of the log by who streams a run that goes on, which depend on time and are in no other figure.
        calls: invocations by function.
        executions: what was started; machine: of which type.
        entered: the states of the executions: each is a transition.
        events: written to the logs of runs, by name.
        stamps: changes of which a reader of the table's stream makes an audit record.
    """

    requests: Counter[str] = field(default_factory=Counter)
    by_function: Counter[str] = field(default_factory=Counter)
    read_units: float = 0
    write_units: float = 0
    looks: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    executions: list[str] = field(default_factory=list)
    machine: str | None = None
    entered: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    stamps: int = 0
    under_way: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.requests.total()

    def settle(self, machines: Any) -> None:
        """Wait until everything that was started has ended.

        Args:
            machines: a client of Step Functions that nobody counts.

        Raises:
            AssertionError: something does not end.
        """
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self.under_way.total() or any(_goes_on(machines, arn) for arn in self.executions):
            assert time.monotonic() < deadline, (self.under_way, self.executions)
            time.sleep(0.02)

    def look_back(self, machines: Any) -> None:
        """Find out what the executions did, which is told afterwards only."""
        for arn in self.executions:
            machine = machines.describe_execution(executionArn=arn)["stateMachineArn"]
            self.machine = machines.describe_state_machine(stateMachineArn=machine)["type"]
            events = machines.get_execution_history(executionArn=arn, maxResults=1000)["events"]
            names = [e["stateEnteredEventDetails"]["name"] for e in events if e["type"].endswith("StateEntered")]
            self.entered += names


def _goes_on(machines: Any, arn: str) -> bool:
    return bool(machines.describe_execution(executionArn=arn)["status"] == "RUNNING")


@contextmanager
def counted() -> Iterator[Tally]:
    """Counts what this process does meanwhile: no worker is so slow that it reads or looks again, and nothing that an
    environment remembers grows old.
    """
    # The runtime imports the layer afresh, so these are looked up when it is there, not when this file is read.
    from shared import memory
    from shared.clients import aws
    from shared.domain import code_calls, leaves

    tally, asked = Tally(), threading.local()
    dynamodb = aws.dynamodb().meta.events
    starters = [client().meta.events for client in (aws.stepfunctions, aws.stepfunctions_control)]

    def ask_for_units(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"
        asked.params = params

    def add(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if at_work.get() not in READERS:
            _add(tally, asked.params, parsed, model.name)

    def begun(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if arn := parsed.get("executionArn"):
            tally.executions.append(arn)

    with ExitStack() as undo:
        hooks: list[tuple[Any, str, Callable[..., None]]] = [
            (dynamodb, "provide-client-params.dynamodb", ask_for_units),
            (dynamodb, "after-call.dynamodb", add),
            *((starter, "after-call.stepfunctions", begun) for starter in starters),
        ]
        for events, name, handler in hooks:
            events.register(name, handler)
            undo.callback(events.unregister, name, handler)
        undo.enter_context(patch.object(leaves, "LEAVE_SECONDS", math.inf))
        undo.enter_context(patch.object(memory, "time", SimpleNamespace(monotonic=lambda: -math.inf)))
        undo.enter_context(patch.object(code_calls, "LOOK_SECONDS", threading.TIMEOUT_MAX))
        for host, method in ((Host, "invoke"), (WebHost, "serve")):
            undo.enter_context(_calls(tally, host, method))
        yield tally


@contextmanager
def _calls(tally: Tally, host: type, method: str) -> Iterator[None]:
    invoke = getattr(host, method)

    async def counting(self: Any, logical_id: str, *arguments: Any) -> Any:
        if logical_id in READERS:
            return await invoke(self, logical_id, *arguments)
        tally.calls[logical_id] += 1
        tally.under_way[logical_id] += 1
        try:
            return await invoke(self, logical_id, *arguments)
        finally:
            tally.under_way[logical_id] -= 1

    with patch.object(host, method, counting):
        yield


def _add(tally: Tally, params: dict[str, Any], parsed: dict[str, Any], operation: str) -> None:
    if operation == "Query" and at_work.get() == WATCHER:
        tally.looks += 1
        return
    tally.requests[operation] += 1
    tally.by_function[at_work.get()] += 1
    if operation in {"GetItem", "Query", "BatchGetItem"}:
        tally.read_units += _read_units(operation, parsed) / (2 if "IndexName" in params else 1)
        return
    used = parsed.get("ConsumedCapacity", {})
    for capacity in used if isinstance(used, list) else [used]:
        tally.write_units += capacity.get("CapacityUnits", 0)
    if "Error" in parsed:
        return
    for write in _writes(params):
        item = write.get("Item", {})
        tally.stamps += "by" in item or ":by" in write.get("ExpressionAttributeValues", {})
        if item.get("sk", {}).get("S", "").startswith(_EVENT):
            tally.events.update(event["event"] for event in json.loads(item["doc"]["S"]))


def _writes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The writes of a request."""
    if "RequestItems" in params:
        return [part["PutRequest"] for parts in params["RequestItems"].values() for part in parts]
    parts = params.get("TransactItems")
    return [next(iter(part.values())) for part in parts] if parts else [params]


def _read_units(operation: str, answer: dict[str, Any]) -> int:
    if operation == "GetItem":
        return _units(_size(answer.get("Item", {})))
    if operation == "Query":
        return _units(sum(_size(item) for item in answer.get("Items", ())))
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
