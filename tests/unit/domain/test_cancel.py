"""Cancel: one end, and no call of a model or a tool after it."""

from typing import Any

import httpx
import httpx2
import pytest

from shared.domain import conversation, leaves
from shared.store.table import TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine, TaskFailed
from tests.unit.support.model import ScriptedModel, as_json, call, completion
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.covers("POST /runs/{run_id}/cancel")


@pytest.fixture
def run_id(api: Api, machine: Machine) -> str:
    """A run in the background whose machine has done nothing yet."""
    runs.agent(api, runs.webhook(api), runs.webhook(api, "again", idempotent=True))
    task = {"agent_id": "support", "input_message": "Hi", "session_id": "s-1"}
    return str(api.post("/runs", task, headers={"Prefer": "respond-async"}).json["id"])


def test_cancel(api: Api, machine: Machine, run_id: str) -> None:
    answer = api.post(f"/runs/{run_id}/cancel")
    assert answer.status == 200
    shown = answer.json
    assert (shown["status"], shown["stop_reason"], shown["output_message"]) == ("cancelled", "cancelled", None)
    assert shown["error_message"] is None
    assert shown == api.get(f"/runs/{run_id}").json
    assert runs.names(runs.events(api, run_id)) == ["start", "cancelled"]
    assert machine.stopped == [run_id]
    machine.execute(machine.background[0])
    assert machine.invoked == ["call_model"]
    assert api.get("/sessions/s-1").json["status"] == "idle"


def test_cancel_twice(api: Api, run_id: str) -> None:
    api.post(f"/runs/{run_id}/cancel")
    again = api.post(f"/runs/{run_id}/cancel")
    assert (again.status, again.code) == (409, "run_ended")


def test_repeated_request_gets_the_same_answer(api: Api, run_id: str) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (api.post(f"/runs/{run_id}/cancel", headers=key) for _ in range(2))
    assert (first.status, second.status, first.json) == (200, 200, second.json)


def test_cancel_of_what_has_ended(api: Api, machine: Machine, model: ScriptedModel, run_id: str) -> None:
    model.says("done")
    machine.execute(machine.background[0])
    assert api.post(f"/runs/{run_id}/cancel").code == "run_ended"
    assert api.get(f"/runs/{run_id}").json["status"] == "succeeded"


def test_cancel_after_the_deadline_finds_the_run_timed_out(api: Api, travel: Any, run_id: str) -> None:
    travel(131)
    assert api.post(f"/runs/{run_id}/cancel").status == 409
    assert api.get(f"/runs/{run_id}").json["status"] == "timed_out"
    assert runs.names(runs.events(api, run_id)) == ["start", "error"]


def test_cancel_needs_the_right_to_write_and_the_tenant(api: Api, other: Api, run_id: str) -> None:
    assert api.as_(scopes="runs:read runs:execute").post(f"/runs/{run_id}/cancel").status == 403
    assert other.post(f"/runs/{run_id}/cancel").status == 404
    assert api.post("/runs/nonsense/cancel").status == 404
    assert api.get(f"/runs/{run_id}").json["status"] == "running"


def test_machine_of_a_run_that_is_waited_for_is_not_stopped(api: Api, machine: Machine) -> None:
    runs.agent(api)
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    assert api.post(f"/runs/{run['id']}/cancel").status == 200
    assert machine.stopped == []


def test_answer_comes_when_no_call_can_begin_any_more(
    api: Api, monkeypatch: pytest.MonkeyPatch, stopped_clock: None, run_id: str
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    api.post(f"/runs/{run_id}/cancel")
    assert slept[-1] == leaves.ANSWER_SECONDS > leaves.LEAVE_SECONDS


def test_cancel_during_the_model_call(api: Api, machine: Machine, model: ScriptedModel, run_id: str) -> None:
    def cancelled(request: dict[str, Any]) -> httpx2.Response:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        return as_json(completion(None, call("lookup", {}, id="c1")))

    model.does(cancelled)
    machine.execute(machine.background[0])
    assert machine.invoked == ["call_model"]
    assert runs.names(runs.events(api, run_id)) == ["start", "cancelled"]


def test_cancel_during_the_last_answer(api: Api, machine: Machine, model: ScriptedModel, run_id: str) -> None:
    def cancelled(request: dict[str, Any]) -> httpx2.Response:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        return as_json(completion("too late"))

    model.does(cancelled)
    machine.execute(machine.background[0])
    assert api.get(f"/runs/{run_id}").json["output_message"] is None
    assert api.get("/sessions/s-1/messages").json == []


def test_cancel_during_a_tool_call(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, run_id: str
) -> None:
    def cancelled(request: httpx.Request) -> httpx.Response:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        return httpx.Response(200)

    model.asks(call("lookup", {}, id="c1"), call("again", {}, id="c2"))
    server.then(cancelled)
    machine.execute(machine.background[0])
    assert len(server.requests) == 1
    run = api.get(f"/runs/{run_id}").json
    assert [called["status"] for called in run["tools_called"]] == ["unknown", "skipped"]
    assert runs.names(runs.events(api, run_id))[-2:] == ["tool.started", "cancelled"]


def test_tool_call_that_failed_in_passing_is_not_repeated_after_a_cancel(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, travel: Any, run_id: str
) -> None:
    def cancelled(request: httpx.Request) -> httpx.Response:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        travel(leaves.ANSWER_SECONDS)
        return httpx.Response(503)

    model.asks(call("again", {}, id="c1"))
    server.then(cancelled)
    machine.execute(machine.background[0])
    assert len(server.requests) == 1


@pytest.mark.parametrize("number", range(4))
def test_cancel_before_each_write(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, faults: Faults, run_id: str, number: int
) -> None:
    """Writes: 0 the call asked for, 1 and 2 its begin and end, 3 the end of the run."""

    def rule(request: dict[str, Any]) -> httpx2.Response:
        told = any(each["role"] == "tool" for each in request["messages"])
        return as_json(completion("done") if told else completion(None, call("lookup", {}, id="c1")))

    model.follows(rule)
    asked_before: list[tuple[int, int]] = []

    def cancelled() -> None:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        asked_before.append((len(model.requests), len(server.requests)))

    faults.at(number, "before", cancelled)
    machine.execute(machine.background[0])
    assert asked_before == [(len(model.requests), len(server.requests))]
    assert runs.names(runs.events(api, run_id))[-1] == "cancelled"
    assert api.get(f"/runs/{run_id}").json["status"] == "cancelled"


def test_worker_that_was_held_up_asks_the_log_again(
    api: Api, machine: Machine, model: ScriptedModel, travel: Any, monkeypatch: pytest.MonkeyPatch, run_id: str
) -> None:
    """Between reading the log and asking the model a worker loses half a second, and the run is cancelled."""

    def slow(store: TenantStore, plan: Any) -> list[tuple[str, str]]:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        travel(leaves.ANSWER_SECONDS)
        return []

    monkeypatch.setattr(conversation, "history", slow)
    with pytest.raises(TaskFailed, match="RunCancelled"):
        machine.invoke("call_model", machine.background[0])
    assert model.requests == []


def test_tool_worker_that_was_held_up_asks_the_log_again(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, faults: Faults, travel: Any, run_id: str
) -> None:
    model.asks(call("lookup", {}, id="c1"))
    machine.invoke("call_model", machine.background[0])

    def held_up() -> None:
        assert api.post(f"/runs/{run_id}/cancel").status == 200
        travel(leaves.ANSWER_SECONDS)

    faults.at(0, "after", held_up)
    with pytest.raises(TaskFailed, match="RunCancelled"):
        machine.invoke("call_tool", machine.background[0] | {"tool_call_id": "c1"})
    assert server.requests == []


@pytest.mark.parametrize("worker", ["call_model", "call_tool"])
@pytest.mark.parametrize("held_up", [True, False], ids=["held up", "in time"])
def test_worker_of_a_run_that_goes_on_makes_its_call(
    api: Api,
    machine: Machine,
    model: ScriptedModel,
    server: ToolServer,
    faults: Faults,
    requests: Requests,
    travel: Any,
    monkeypatch: pytest.MonkeyPatch,
    run_id: str,
    worker: str,
    held_up: bool,
) -> None:
    """Nobody cancels: who was held up reads the log once more, who was not does not, and both call."""
    monkeypatch.setattr(leaves, "LEAVE_SECONDS", 60)  # longer than a slow machine takes
    moment = 61 if held_up else 0
    pointer = machine.background[0]
    model.asks(call("lookup", {}, id="c1"))
    if worker == "call_tool":
        machine.invoke("call_model", pointer)
        pointer |= {"tool_call_id": "c1"}
        faults.at(0, "after", lambda: travel(moment))
    else:

        def slow(store: TenantStore, plan: Any) -> list[tuple[str, str]]:
            travel(moment)
            return []

        monkeypatch.setattr(conversation, "history", slow)
    asked = requests.of(lambda: machine.invoke(worker, pointer))
    assert asked.count("Query") == (2 if held_up else 1)
    assert len(server.requests if worker == "call_tool" else model.requests) == 1


def test_end_that_meets_many_writers_is_written_all_the_same(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, faults: Faults, run_id: str
) -> None:
    """Before the cancel can write, both calls have written behind what it read."""
    pointer = machine.background[0]
    model.asks(call("lookup", {}, id="c1"), call("again", {}, id="c2"))
    machine.invoke("call_model", pointer)
    faults.at(0, "before", lambda: machine.invoke("call_tool", pointer | {"tool_call_id": "c1"}))
    faults.at(1, "before", lambda: machine.invoke("call_tool", pointer | {"tool_call_id": "c2"}))
    assert api.post(f"/runs/{run_id}/cancel").status == 200
    run = api.get(f"/runs/{run_id}").json
    assert [called["status"] for called in run["tools_called"]] == ["succeeded", "succeeded"]
    assert runs.names(runs.events(api, run_id))[-1] == "cancelled"
