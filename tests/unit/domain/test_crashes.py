"""Workers that die between any two writes, and workers that overtake each other.

Whatever happens: one end, numbers without gaps, and no effect twice. A run here asks for two tools at once, `lookup`
(not idempotent) and `again` (idempotent), and then answers. Its writes: 0 the start, 1 the calls asked for, 2 and 3
`lookup` started and ended, 4 and 5 the same of `again`, 6 the end.
"""

from typing import Any

import httpx
import httpx2
import pytest

from tests.unit.support import runs
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine, TaskFailed
from tests.unit.support.model import ScriptedModel, as_json, call, completion
from tests.unit.support.server import ToolServer

WRITES = 7


def answer(request: dict[str, Any]) -> httpx2.Response:
    """Asks for both tools first, and answers once it has their results."""
    results = [each["content"] for each in request["messages"] if each["role"] == "tool"]
    if results:
        return as_json(completion("done"))
    return as_json(completion(None, call("lookup", {}, id="c1"), call("again", {}, id="c2")))


@pytest.fixture
def agent(api: Api, machine: Machine, model: ScriptedModel, server: ToolServer) -> str:
    model.follows(answer)
    return runs.agent(api, runs.webhook(api), runs.webhook(api, "again", idempotent=True))


def check(api: Api, run: Any, server: ToolServer) -> dict[str, str]:
    """What holds after every accident. Returns the status of each call."""
    assert run == api.get(f"/runs/{run['id']}").json
    assert (run["status"], run["output_message"]) == ("succeeded", "done")
    events = runs.events(api, run["id"])
    assert runs.names(events).count("message.completed") == 2
    assert len(runs.named(events, "tool.started")) == 2
    ended = runs.named(events, "tool.completed") + runs.named(events, "tool.error")
    assert sorted(data["tool_call_id"] for data in ended) == ["c1", "c2"]
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys.count(f"{run['id']}:c1") <= 1
    assert set(keys) <= {f"{run['id']}:c1", f"{run['id']}:c2"}
    return {called["tool_call_id"]: called["status"] for called in run["tools_called"]}


def test_no_accident(api: Api, agent: str, faults: Faults, server: ToolServer) -> None:
    assert check(api, runs.start(api), server) == {"c1": "succeeded", "c2": "succeeded"}
    assert faults.writes == WRITES
    assert len(server.requests) == 2


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, WRITES))
def test_worker_dies_around_a_write(
    api: Api, agent: str, faults: Faults, server: ToolServer, number: int, moment: Moment
) -> None:
    faults.at(number, moment, die)
    statuses = check(api, runs.start(api), server)
    assert faults.happened == 1
    # After the intent of `lookup` and before its end, nobody knows whether it took effect.
    in_doubt = (number, moment) in {(2, "after"), (3, "before")}
    assert statuses == {"c1": "unknown" if in_doubt else "succeeded", "c2": "succeeded"}


@pytest.mark.parametrize(("moment", "step"), [("before", 2), ("after", 1)])
def test_worker_dies_again_and_again(
    api: Api, agent: str, faults: Faults, server: ToolServer, moment: Moment, step: int
) -> None:
    """Before every second write, and after each."""
    for number in range(1, 2 * WRITES, step):
        faults.at(number, moment, die)
    statuses = check(api, runs.start(api), server)
    assert faults.happened == 6
    assert statuses == {"c1": "unknown", "c2": "succeeded"}


@pytest.mark.parametrize(("tool_call_id", "status"), [("c1", "unknown"), ("c2", "succeeded")])
def test_worker_dies_while_the_server_answers(
    api: Api, agent: str, server: ToolServer, tool_call_id: str, status: str
) -> None:
    def killed(request: httpx.Request) -> httpx.Response:
        if request.headers["idempotency-key"].endswith(tool_call_id):
            die()
        return httpx.Response(200)

    server.then(killed)
    if tool_call_id == "c2":
        server.then(killed)
    statuses = check(api, runs.start(api), server)
    assert statuses[tool_call_id] == status
    keys = [request.headers["idempotency-key"].rpartition(":")[2] for request in server.requests]
    assert keys == (["c1", "c2"] if tool_call_id == "c1" else ["c1", "c2", "c2"])


def test_model_is_told_what_is_unknown(api: Api, agent: str, faults: Faults, model: ScriptedModel) -> None:
    faults.at(2, "after", die)
    run = runs.start(api)
    told = [each["content"] for each in model.requests[-1]["messages"] if each["role"] == "tool"]
    assert told[0] == "Error (unknown): It is unknown whether the call took effect."
    assert runs.named(runs.events(api, run["id"]), "tool.error")[0]["status"] == "unknown"


def test_worker_dies_while_the_model_answers(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer
) -> None:
    def killed(request: dict[str, Any]) -> httpx2.Response:
        die()

    runs.agent(api)
    model.does(killed).says("done")
    assert runs.start(api)["output_message"] == "done"


def test_worker_that_always_dies_ends_the_run(api: Api, machine: Machine, model: ScriptedModel) -> None:
    def killed(request: dict[str, Any]) -> httpx2.Response:
        die()

    runs.agent(api)
    model.follows(killed)
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert machine.invoked == ["call_model"] * 5 + ["fail_run"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_worker_dies_while_it_marks_the_failure(
    api: Api, machine: Machine, model: ScriptedModel, faults: Faults, moment: Moment
) -> None:
    runs.agent(api)
    model.fails(401)
    faults.at(1, moment, die)
    run = runs.start(api)
    assert faults.happened == 1
    assert (run["status"], run["stop_reason"]) == ("failed", "model_rejected")
    assert runs.names(runs.events(api, run["id"])) == ["start", "error"]
    assert machine.invoked == ["call_model", "fail_run", "fail_run"]


@pytest.fixture
def asked(api: Api, agent: str, machine: Machine) -> dict[str, str]:
    """A run whose two calls are asked for and not begun: the pointer for its workers."""
    machine.waits = False
    api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    machine.waits = True
    (pointer,) = machine.pointers
    assert machine.invoke("call_model", pointer)["tool_call_ids"] == ["c1", "c2"]
    return pointer


def finish(api: Api, machine: Machine, pointer: dict[str, str]) -> Any:
    machine.execute(pointer)
    return api.get(f"/runs/{pointer['run_id']}").json


@pytest.mark.parametrize("number", [0, 1])
def test_calls_that_write_at_the_same_time(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str], number: int
) -> None:
    """`again` runs from start to end between a read and the write that follows it of `lookup`."""
    faults.at(number, "before", lambda: machine.invoke("call_tool", asked | {"tool_call_id": "c2"}))
    machine.invoke("call_tool", asked | {"tool_call_id": "c1"})
    assert faults.happened == 1
    assert check(api, finish(api, machine, asked), server) == {"c1": "succeeded", "c2": "succeeded"}
    assert len(server.requests) == 2


@pytest.mark.parametrize("tool_call_id", ["c1", "c2"])
def test_two_copies_of_one_call_that_start_at_the_same_time(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str], tool_call_id: str
) -> None:
    """The copy whose intent comes second sends nothing."""
    event = asked | {"tool_call_id": tool_call_id}
    faults.at(0, "before", lambda: machine.invoke("call_tool", event))
    machine.invoke("call_tool", event)
    assert faults.happened == 1
    assert len(server.requests) == 1
    assert check(api, finish(api, machine, asked), server) == {"c1": "succeeded", "c2": "succeeded"}


def test_call_whose_intent_came_second_leaves_it_to_the_first(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str]
) -> None:
    """The first copy is still on its way (here: it dies there) when the second finds its intent in the log."""
    event = asked | {"tool_call_id": "c2"}

    def first_copy() -> None:
        server.then(lambda request: die())
        with pytest.raises(TaskFailed):
            machine.invoke("call_tool", event)

    faults.at(0, "before", first_copy)
    machine.invoke("call_tool", event)
    assert len(server.requests) == 1
    assert check(api, finish(api, machine, asked), server) == {"c1": "succeeded", "c2": "succeeded"}


def test_copy_of_a_call_under_way_does_not_send_it_again(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str]
) -> None:
    """The copy cannot know that the first is alive, says `unknown`, and that stays the only end of the call."""
    event = asked | {"tool_call_id": "c1"}
    faults.at(1, "before", lambda: machine.invoke("call_tool", event))
    machine.invoke("call_tool", event)
    assert len(server.requests) == 1
    assert check(api, finish(api, machine, asked), server) == {"c1": "unknown", "c2": "succeeded"}


def test_copy_of_an_idempotent_call_under_way(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str]
) -> None:
    event = asked | {"tool_call_id": "c2"}
    faults.at(1, "before", lambda: machine.invoke("call_tool", event))
    machine.invoke("call_tool", event)
    assert len(server.requests) == 2
    assert check(api, finish(api, machine, asked), server) == {"c1": "succeeded", "c2": "succeeded"}


def test_call_that_ended_is_not_repeated(api: Api, machine: Machine, server: ToolServer, asked: dict[str, str]) -> None:
    for _ in range(3):
        machine.invoke("call_tool", asked | {"tool_call_id": "c1"})
    assert len(server.requests) == 1
    assert check(api, finish(api, machine, asked), server)["c1"] == "succeeded"


def test_machine_that_runs_twice(api: Api, machine: Machine, server: ToolServer, asked: dict[str, str]) -> None:
    """Express executions are delivered at least once."""
    machine.execute(asked)
    first = check(api, finish(api, machine, asked), server)
    machine.execute(asked)
    assert check(api, finish(api, machine, asked), server) == first
    assert len(server.requests) == 2


@pytest.mark.parametrize("number", [0, 1])
def test_run_that_is_ended_under_a_call(
    api: Api, machine: Machine, faults: Faults, server: ToolServer, asked: dict[str, str], number: int
) -> None:
    """The call that comes too late writes nothing, and sends nothing that was not sent."""
    failed = asked | {"error": {"Error": "States.Timeout", "Cause": ""}}
    faults.at(number, "before", lambda: machine.invoke("fail_run", failed))
    with pytest.raises(Exception, match="RunCancelled"):
        machine.invoke("call_tool", asked | {"tool_call_id": "c1"})
    assert len(server.requests) == number
    run = api.get(f"/runs/{asked['run_id']}").json
    assert (run["status"], run["stop_reason"]) == ("timed_out", "timeout")
    assert [called["status"] for called in run["tools_called"]] == ["unknown" if number else "skipped", "skipped"]
    assert runs.names(runs.events(api, run["id"]))[-1] == "error"


def test_run_that_is_ended_under_its_last_answer(
    api: Api, machine: Machine, model: ScriptedModel, faults: Faults
) -> None:
    runs.agent(api)
    model.says("late")
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    pointer = machine.pointers[0]
    failed = pointer | {"error": {"Error": "States.Timeout", "Cause": ""}}
    faults.at(0, "before", lambda: machine.invoke("fail_run", failed))
    assert machine.invoke("call_model", pointer) == {"next": "done", "tool_call_ids": []}
    ended = api.get(f"/runs/{run['id']}").json
    assert (ended["status"], ended["output_message"]) == ("timed_out", None)
    assert runs.names(runs.events(api, run["id"])) == ["start", "error"]


def test_failure_of_a_run_that_has_ended_changes_nothing(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("done")
    run = runs.start(api)
    failed = machine.pointers[0] | {"error": {"Error": "ModelRejected", "Cause": '{"errorMessage": "no"}'}}
    machine.invoke("fail_run", failed)
    assert api.get(f"/runs/{run['id']}").json == run
    assert runs.names(runs.events(api, run["id"]))[-1] == "result"
