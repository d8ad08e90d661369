"""Figures of agents and tools, counted from the table's stream: sums of what was run, each once."""

import json
import math
import random
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from shared import clock
from shared.domain import statistics, usage
from shared.domain.run_records import Run
from shared.store import keys
from shared.store.table import Put, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine, WorkerDied
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.table_stream import TableStream

pytestmark = pytest.mark.covers("GET /agents/{agent_ref}/stats", "GET /tools/{tool_ref}/stats")
DAY = 24 * 3_600


def of_agent(api: Api, window: str = "24h") -> dict[str, Any]:
    answer = api.get(f"/agents/support/stats?window={window}")
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def of_tool(api: Api, name: str = "echo", window: str = "24h") -> dict[str, Any]:
    answer = api.get(f"/tools/{name}/stats?window={window}")
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def some_runs(api: Api, model: ScriptedModel) -> list[dict[str, Any]]:
    """Three runs of the agent: one plain, one with two calls of which one fails, one that fails."""
    runs.agent(api, runs.internal(api))
    model.says("done")
    model.asks(call("echo", {"text": "x"}), call("echo", "{")).says("done")
    ended = [runs.start(api), runs.start(api)]
    model.asks(call("echo", {"text": "x"}))
    return [*ended, runs.start(api, limits={"max_steps": 1})]


def test_an_agents_figures_are_the_sums_of_its_runs(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel
) -> None:
    ended = some_runs(api, model)
    assert [run["status"] for run in ended] == ["succeeded", "succeeded", "failed"]
    stream.deliver()
    found = of_agent(api)
    assert found["agent_id"] == ended[0]["agent_id"]
    assert found["window"] == "24h"
    assert found["since"] < ended[0]["created_at"]
    assert found["runs"] == {"total": 3, "succeeded": 2, "failed": 1, "cancelled": 0, "timed_out": 0}
    assert found["tokens"] == {
        name: sum(run[f"{name}_tokens"] for run in ended) for name in ("prompt", "completion", "total")
    }
    assert Decimal(found["cost_usd"]) == sum(Decimal(run["cost_usd"] or 0) for run in ended)
    assert 0 <= found["duration_ms"]["p50"] <= found["duration_ms"]["p95"]
    assert found["truncated"] is False


def test_a_tools_figures_are_the_sums_of_its_calls(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel
) -> None:
    ended = some_runs(api, model)
    stream.deliver()
    found = of_tool(api)
    calls = [one for run in ended for one in run["tools_called"]]
    assert found["calls"] == {"total": 3, "succeeded": 2, "failed": 1}
    assert len(calls) == 3
    assert found["errors"] == {"invalid_arguments": 1}
    assert found["truncated"] is False


def test_usage_is_the_sum_of_all_runs(
    api: Api, stream: TableStream, store: TenantStore, machine: Machine, model: ScriptedModel
) -> None:
    ended = some_runs(api, model)
    stream.deliver()
    (day,) = usage.days(store, 10)
    assert day.date == ended[0]["finished_at"][:10]
    assert (day.runs, day.succeeded, day.failed) == (3, 2, 1)
    assert day.total_tokens == sum(run["total_tokens"] for run in ended)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_again_or_out_of_order_counts_once(
    api: Api, stream: TableStream, store: TenantStore, machine: Machine, model: ScriptedModel, seed: int
) -> None:
    some_runs(api, model)
    stream.deliver_astray(seed)
    stream.deliver(times=3)
    assert of_agent(api)["runs"]["total"] == 3
    assert of_tool(api)["calls"]["total"] == 3
    assert [day.runs for day in usage.days(store, 10)] == [3]


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reader_that_dies_counts_once(
    api: Api,
    stream: TableStream,
    store: TenantStore,
    machine: Machine,
    model: ScriptedModel,
    faults: Faults,
    number: int,
    moment: Any,
) -> None:
    def die() -> None:
        raise WorkerDied

    some_runs(api, model)
    faults.at(number, moment, die)
    try:
        stream.deliver()
    except WorkerDied:
        stream.deliver()
    assert of_agent(api)["runs"]["total"] == 3
    assert of_tool(api)["calls"]["total"] == 3
    assert [(day.runs, day.succeeded) for day in usage.days(store, 10)] == [(3, 2)]


def test_tests_of_a_tool_are_not_counted_and_executions_are(
    api: Api, stream: TableStream, store: TenantStore, machine: Machine
) -> None:
    runs.internal(api)
    for verb in ("execute", "test", "execute"):
        assert api.post(f"/tools/echo/{verb}", {"args": {"text": "x"}}).status == 201
    stream.deliver(times=2)
    assert of_tool(api)["calls"] == {"total": 2, "succeeded": 2, "failed": 0}
    assert [day.runs for day in usage.days(store, 10)] == [2]


def test_nothing_yet(api: Api) -> None:
    runs.agent(api, runs.internal(api))
    found = of_agent(api)
    assert found["runs"]["total"] == 0
    assert found["duration_ms"] == {"p50": None, "p95": None}
    assert found["cost_usd"] == "0"
    assert of_tool(api)["errors"] == {}


def test_windows(api: Api, stream: TableStream, machine: Machine, model: ScriptedModel, travel: Any) -> None:
    runs.agent(api)
    for hours in (0, 2, 48, 24 * 12):
        travel(hours * 3_600)
        model.says("done")
        runs.start(api)
    stream.deliver()
    assert [of_agent(api, window)["runs"]["total"] for window in ("1h", "24h", "7d", "30d")] == [1, 1, 1, 4]
    travel(-24 * 12 * 3_600)


@pytest.mark.parametrize("path", ["/agents/support/stats", "/tools/echo/stats"])
def test_what_is_no_window_is_refused(api: Api, path: str) -> None:
    runs.agent(api, runs.internal(api))
    assert api.get(f"{path}?window=2h").status == 422
    assert api.get(path).json["window"] == "24h"


def test_other_tenants_find_nothing(
    api: Api, other: Api, stream: TableStream, machine: Machine, model: ScriptedModel
) -> None:
    ended = some_runs(api, model)
    stream.deliver()
    for path in (f"/agents/{ended[0]['agent_id']}/stats", "/agents/support/stats", "/tools/echo/stats"):
        assert other.get(path).code == "not_found"
    runs.agent(other, runs.internal(other))
    assert of_agent(other)["runs"]["total"] == of_tool(other)["calls"]["total"] == 0


def fill(store: TenantStore, partition: str, durations: list[int]) -> None:
    figures = {"status": "succeeded", "prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost_usd": "0.1"}
    for number, duration in enumerate(durations):
        doc = json.dumps(figures | {"duration_ms": duration, "code": None})
        store.write(Put(keys.Key(partition, f"{clock.now()}#{number:06d}"), doc))


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 99, 100, 101])
def test_percentiles_are_exact(api: Api, store: TenantStore, count: int) -> None:
    agent_id = runs.agent(api)
    durations = [random.Random(count).randint(0, 10_000) for _ in range(count)]
    fill(store, keys.agent_stats(agent_id), durations)
    found = of_agent(api)
    ascending = sorted(durations)
    # Nearest rank: the smallest duration that so many of all do not exceed.
    for name, share in (("p50", 50), ("p95", 95)):
        assert found["duration_ms"][name] == ascending[math.ceil(count * share / 100) - 1]
        assert sum(one <= found["duration_ms"][name] for one in durations) >= count * share / 100
    assert found["cost_usd"] == str(Decimal("0.1") * count)
    assert found["tokens"]["total"] == 3 * count


def test_only_the_newest_are_looked_at(
    api: Api, store: TenantStore, monkeypatch: pytest.MonkeyPatch, requests: Requests
) -> None:
    monkeypatch.setattr(statistics, "MAX_COUNTED", 5)
    agent_id = runs.agent(api)
    fill(store, keys.agent_stats(agent_id), [9, 9, 1, 2, 3, 4, 5])
    assert requests.of(lambda: of_agent(api)) == ["GetItem", "GetItem", "Query"]
    found = of_agent(api)
    assert (found["runs"]["total"], found["duration_ms"], found["truncated"]) == (5, {"p50": 3, "p95": 5}, True)


def test_figures_are_forgotten_after_the_longest_window(
    api: Api,
    stream: TableStream,
    machine: Machine,
    model: ScriptedModel,
    items: Callable[[], list[dict[str, Any]]],
) -> None:
    ended = some_runs(api, model)
    stream.deliver()
    expiring = [item for item in items() if item["pk"]["S"].endswith("#STAT")]
    assert len(expiring) == 6
    for item in expiring:
        kept = int(item["expires_at"]["N"]) - datetime.fromisoformat(ended[0]["created_at"]).timestamp()
        assert 30 * DAY < kept <= 35 * DAY + 60


def test_a_run_that_ended_before_it_began_has_no_duration() -> None:
    moment = clock.now()
    run = Run(
        id="r",
        tenant_id="t",
        agent_id="a",
        agent_version=1,
        session_id="s",
        trace_id="x",
        status="cancelled",
        input_message="Hi",
        metadata={},
        created_at=moment,
        started_at=None,
        finished_at=moment,
        updated_at=moment,
        user_id="u",
    )
    mark, counted = statistics.count_run(run)
    assert isinstance(mark, Put)
    assert json.loads(mark.doc)["duration_ms"] is None
    assert statistics.count_run(run.model_copy(update={"test": True})) == ()
    assert counted == usage.add(
        moment, "cancelled", prompt_tokens=None, completion_tokens=None, total_tokens=None, cost_usd=None
    )
