"""benchmarks/scale.py multiplies what one run asks of the table: here runs are counted, partition by partition."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import pytest

from benchmarks import costs, figures, run_requests, scale, scale_page
from benchmarks.run_requests import Names, Request, Sums, sums
from local import template
from shared.clients import aws
from shared.store import keys
from tests.integration.counting import _size, _units
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.table_stream import TableStream

Items = Callable[[], list[dict[str, Any]]]


@dataclass
class Counted:
    """What went to DynamoDB: requests, and units by partition."""

    requests: int = 0
    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)

    def forget(self) -> None:
        self.requests = 0
        self.reads.clear()
        self.writes.clear()


@pytest.fixture
def counted(items: Items) -> Iterator[Counted]:
    """Counts what succeeds from here on. A write weighs as much as the item that it leaves."""
    found = Counted()
    asked: list[tuple[dict[str, Any], list[str]]] = []

    def ask(params: dict[str, Any], **_: Any) -> None:
        asked.append((params, [place for write in _writes(params) for place in _moves(items, write)]))

    def answered(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        params, moves = asked.pop()
        if "Error" in parsed:
            return
        found.requests += 1
        if model.name == "Query":
            partition = params["ExpressionAttributeValues"][":pk"]["S"]
            found.reads[partition] += _units(sum(_size(item) for item in parsed["Items"]))
        elif model.name == "GetItem":
            found.reads[params["Key"]["pk"]["S"]] += _units(_size(parsed.get("Item", {})))
        elif model.name == "BatchGetItem":
            places = chain.from_iterable(of["Keys"] for of in params["RequestItems"].values())
            found.reads.update(place["pk"]["S"] for place in places)
        else:
            for write in _writes(params):
                item = _left(items, write)
                found.writes[item["pk"]["S"]] += -(-_size(item) // 1024) * (2 if "TransactItems" in params else 1)
            found.writes.update(moves)

    events = aws.dynamodb().meta.events
    events.register("provide-client-params.dynamodb", ask)
    events.register("after-call.dynamodb", answered)
    yield found
    events.unregister("provide-client-params.dynamodb", ask)
    events.unregister("after-call.dynamodb", answered)


def _writes(params: dict[str, Any]) -> list[dict[str, Any]]:
    """The writes of a request, each with its `Item` or its `Key`."""
    if parts := params.get("TransactItems"):
        return [next(iter(part.values())) for part in parts]
    if "Item" in params or "UpdateExpression" in params:
        return [params]
    batches = params.get("RequestItems", {}).values()
    return [write["PutRequest"] for batch in batches if isinstance(batch, list) for write in batch]


def _moves(items: Items, write: dict[str, Any]) -> list[str]:
    """The lists of the index `in_group` that an item leaves and comes into."""
    if "Item" in write:
        return [write["Item"]["in_group"]["S"]] if "in_group" in write["Item"] else []
    new = write.get("ExpressionAttributeValues", {}).get(":in_group")
    old = _left(items, write).get("in_group") if new else None
    return [place["S"] for place in (old, new) if place] if old != new else []


def _left(items: Items, write: dict[str, Any]) -> dict[str, Any]:
    place = write.get("Item") or write["Key"]
    return next(item for item in items() if (item["pk"], item["sk"]) == (place["pk"], place["sk"]))


def same(counted: Counted, requests: Iterable[Request]) -> None:
    """What was counted is what the model says, in requests and in units of each partition."""
    requests = list(requests)
    units = scale.touches(requests)
    begin = keys.of_tenant("tenant_a")
    assert counted.reads == +Counter({begin + partition: reads for partition, (reads, _) in units.items()})
    assert counted.writes == +Counter({begin + partition: writes for partition, (_, writes) in units.items()})
    assert counted.requests == sums(requests).requests


@pytest.fixture
def names(api: Api, machine: Machine) -> Names:
    """A draft of an agent with one tool."""
    tool = runs.internal(api)
    return Names(tenant="tenant_a", agent=runs.agent(api, tool, status="draft"), tool=tool)


def one_tool(api: Api, model: ScriptedModel, names: Names) -> Names:
    """Such a run, and what it is called."""
    model.asks(call("echo", {"text": "x"})).says("done")
    return _of(runs.start(api, agent_id=names.agent), names)


def _of(run: dict[str, Any], names: Names) -> Names:
    return replace(names, run=run["id"], day=run["finished_at"][:10])


def test_a_one_tool_run_asks_what_the_model_says(
    api: Api, names: Names, model: ScriptedModel, counted: Counted
) -> None:
    same(counted, run_requests.one_tool_run(one_tool(api, model, names)))


def test_a_run_that_goes_on_with_a_session_asks_what_the_model_says(
    api: Api, names: Names, model: ScriptedModel, counted: Counted
) -> None:
    first = one_tool(api, model, names)
    model.says("second").says("third")
    # The run itself becomes the first turn, and the session gets the id of the second one for its turns.
    second = runs.start(api, agent_id=names.agent, session_id=first.run)
    counted.forget()
    third = _of(runs.start(api, agent_id=names.agent, session_id=first.run), names)
    third = replace(third, session=first.run, uid=second["id"])
    in_session = (*run_requests.of_session(third), *run_requests.in_transaction(third))
    same(counted, (*run_requests.plain_run(third), *in_session))


def test_the_reader_of_the_stream_asks_what_the_model_says(
    api: Api, names: Names, stream: TableStream, model: ScriptedModel, counted: Counted
) -> None:
    stream.records.clear()
    ended = one_tool(api, model, names)
    counted.forget()
    stream.deliver()
    same(counted, run_requests.followed(ended, tool_calls=1))


def test_a_tenant_with_limits_asks_what_the_model_says(
    api: Api, names: Names, model: ScriptedModel, counted: Counted
) -> None:
    api = replace(api, limits='{"requests": ["1000/day"], "runs": ["1000/day"]}')
    one_tool(api, model, names)
    counted.forget()
    ended = one_tool(api, model, names)
    same(counted, (*run_requests.one_tool_run(ended), *run_requests.counted(ended)))


def test_the_sums_are_those_of_the_access_patterns() -> None:
    names = Names()
    plain, session = run_requests.plain_run(names), run_requests.of_session(names)
    session = (*session, *run_requests.in_transaction(names))
    assert sums(run_requests.one_tool_run(names)) == _documented("POST /runs (one tool)")
    assert sums(plain) == _documented("POST /runs (no tool)")
    assert sums((*plain, *session)) == _documented("POST /runs (no tool, a session's third)")
    created, with_key = _documented("POST /agents"), _documented("POST /agents (Idempotency-Key)")
    added = sums(run_requests.with_key(names))
    assert with_key == Sums(
        created.requests + added.requests, created.reads + added.reads, created.writes + added.writes
    )


def _documented(operation: str) -> Sums:
    row = figures.operations()[operation]
    return Sums(sum(row.requests.values()), int(row.reads), row.writes)


def test_the_settings_are_those_of_the_template() -> None:
    parameters = template.load(costs.ROOT / "template.yaml")["Parameters"]
    assert parameters["AuthorizerCacheSeconds"]["Default"] == scale.CACHE_SECONDS
    assert parameters["RateLimitRuns"]["Default"] == f"{scale.DEFAULT_RUNS_A_MINUTE}/minute"


def test_a_partition_has_one_place() -> None:
    """Else a table would show half of what it gets."""
    for case in scale.CASES:
        requests = scale.requests_of(case, Names(), in_session=True)
        places = {(touch.partition, touch.place) for request in requests for touch in request.touches}
        assert len(places) == len(scale.touches(requests))


def test_the_simulation_is_the_same_each_time_and_near_its_mean() -> None:
    (*_, one_tenant) = scale.CASES
    again = scale.simulated.__wrapped__(one_tenant)
    assert again == scale.simulated(one_tenant)
    assert one_tenant.runs < again.peak < 1.15 * one_tenant.runs
    runs_list = next(hot for hot in again.hot if hot.partition == keys.RUNS)
    assert runs_list.writes == 4 * again.peak


def test_a_watcher_looks_about_as_often_as_text_comes() -> None:
    assert scale.looks(20.0) == 195


def test_the_page_shows_what_the_model_says() -> None:
    page = scale.DOCUMENT.read_text()
    assert scale_page.written(page) == page, "python -m benchmarks.scale"
