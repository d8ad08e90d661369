"""How many DynamoDB requests an operation takes. docs/access-patterns.md quotes these numbers."""

from typing import Any

import pytest

from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call

WRITE = ["TransactWriteItems"]


def test_creating_is_one_transaction(api: Api, requests: Requests) -> None:
    assert requests.of(lambda: api.make("/tools", name="echo")) == WRITE
    assert requests.of(lambda: api.make("/agents", name="support")) == WRITE
    assert requests.of(lambda: api.make("/api-keys", name="ci")) == WRITE


def test_creating_an_agent_with_tools_reads_them_at_once(api: Api, requests: Requests) -> None:
    tool_ids = [runs.internal(api, name) for name in ("echo", "calculator")]
    assert requests.of(lambda: runs.agent(api, *tool_ids)) == ["BatchGetItem", *WRITE]


@pytest.mark.parametrize("path", ["/agents", "/tools"])
def test_reading(api: Api, requests: Requests, path: str) -> None:
    made = api.make(path, name="x")
    assert requests.of(lambda: api.get(f"{path}/{made['id']}")) == ["GetItem"]
    assert requests.of(lambda: api.get(f"{path}/x")) == ["GetItem", "GetItem"]
    assert requests.of(lambda: api.get(f"{path}/nobody")) == ["GetItem"]
    assert requests.of(lambda: api.get(path)) == ["Query"]


@pytest.mark.parametrize("query", ["?limit=2", "?page=2&page_size=1", "?offset=1&limit=1"])
def test_page_with_another_behind_it(api: Api, requests: Requests, query: str) -> None:
    """Whether there is a next page is known without asking for it."""
    for n in range(4):
        api.make("/tools", name=f"t{n}")
    assert requests.of(lambda: api.get(f"/tools{query}")) == ["Query"]
    assert "link" in api.get(f"/tools{query}").headers


@pytest.mark.parametrize("path", ["/agents", "/tools"])
def test_changing(api: Api, requests: Requests, path: str) -> None:
    made = api.make(path, name="x")
    by_id = f"{path}/{made['id']}"
    assert requests.of(lambda: api.patch(by_id, {"description": "y"})) == ["GetItem", "UpdateItem"]
    assert requests.of(lambda: api.patch(by_id, {"name": "z"})) == ["GetItem", *WRITE]
    assert requests.of(lambda: api.put(by_id, {"name": "z"})) == ["GetItem", "UpdateItem"]
    reads = ["GetItem", "Query"] if path == "/tools" else ["GetItem"]
    assert requests.of(lambda: api.delete(by_id)) == reads + WRITE


def test_bindings(api: Api, requests: Requests) -> None:
    tool_id, agent_id = runs.internal(api), runs.agent(api)
    path = f"/agents/{agent_id}/tools"
    assert requests.of(lambda: api.post(f"{path}/{tool_id}", {})) == ["GetItem", "GetItem", *WRITE]
    assert requests.of(lambda: api.get(path)) == ["GetItem"]
    assert requests.of(lambda: api.get(f"{path}/{tool_id}")) == ["GetItem"]
    assert requests.of(lambda: api.delete(f"{path}/{tool_id}")) == ["GetItem", *WRITE]


def test_keys(api: Api, requests: Requests) -> None:
    key_id = api.make("/api-keys")["id"]
    assert requests.of(lambda: api.get("/api-keys")) == ["Query"]
    assert requests.of(lambda: api.delete(f"/api-keys/{key_id}")) == ["GetItem", *WRITE]
    assert requests.of(lambda: api.delete(f"/api-keys/{key_id}")) == ["GetItem", "UpdateItem"]


def test_idempotency_costs_two_writes(api: Api, requests: Requests) -> None:
    def create() -> None:
        assert api.post("/tools", {"name": "echo"}, headers={"Idempotency-Key": "k"}).status == 201

    assert requests.of(create) == ["PutItem", *WRITE, "UpdateItem"]
    assert requests.of(create) == ["PutItem", "GetItem", "UpdateItem"]


def test_a_change_that_succeeds_costs_nothing_more_for_its_audit_and_all_else_one_write(
    api: Api, requests: Requests
) -> None:
    assert requests.of(lambda: api.post("/tools", {"name": "echo"})) == WRITE
    assert requests.of(lambda: api.post("/tools", {"name": "echo"})) == [*WRITE, "UpdateItem"]
    assert requests.of(lambda: api.post("/tools", {"nonsense": 1})) == ["UpdateItem"]
    reader = api.as_(scopes="tools:read")
    assert requests.of(lambda: reader.post("/tools", {"name": "other"})) == ["UpdateItem"]
    assert requests.of(lambda: reader.get("/agents")) == ["UpdateItem"]
    assert requests.of(lambda: reader.get("/tools/nobody")) == ["GetItem"]


def test_workers_of_a_run(api: Api, machine: Machine, model: ScriptedModel, requests: Requests) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo", {"text": "x"}, id="c1")).says("done")
    machine.waits = False
    api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    pointer = machine.pointers[0]

    def work(worker: str, **more: Any) -> list[str]:
        return requests.of(lambda: machine.invoke(worker, pointer | more))

    assert work("call_model") == ["Query", "PutItem"]
    assert work("call_tool", tool_call_id="c1") == ["Query", "PutItem", "PutItem"]
    assert work("call_model") == ["Query", *WRITE]
    assert work("call_model") == ["Query"]


def test_whole_run(api: Api, machine: Machine, model: ScriptedModel, requests: Requests) -> None:
    agent_id = runs.agent(api, runs.internal(api))
    model.asks(call("echo", {"text": "x"})).says("done")
    started = ["GetItem", "BatchGetItem", "BatchWriteItem"]
    worked = ["Query", "PutItem", "Query", "PutItem", "PutItem", "Query", *WRITE]
    assert requests.of(lambda: runs.start(api, agent_id=agent_id)) == [*started, *worked, "GetItem"]
    assert len(requests) == 11


def test_session_costs_a_read_at_both_ends_and_one_for_each_model_call(
    api: Api, machine: Machine, model: ScriptedModel, requests: Requests
) -> None:
    agent_id = runs.agent(api, status="draft")
    model.says("done").says("done")
    began = ["GetItem", "BatchGetItem", *WRITE]
    taken = requests.of(lambda: runs.start(api, agent_id=agent_id, session_id="s-1"))
    assert taken == [*began, "Query", "GetItem", *WRITE, "GetItem"]
    taken = requests.of(lambda: runs.start(api, agent_id=agent_id, session_id="s-1"))
    assert taken == [*began, "Query", "Query", "GetItem", *WRITE, "GetItem"]


def test_reading_runs(api: Api, machine: Machine, model: ScriptedModel, requests: Requests) -> None:
    runs.agent(api)
    model.says("done")
    run_id = runs.start(api)["id"]
    assert requests.of(lambda: api.get(f"/runs/{run_id}")) == ["GetItem"]
    assert requests.of(lambda: api.get(f"/runs/{run_id}?include=messages")) == ["GetItem", "Query"]
    assert requests.of(lambda: api.get(f"/runs/{run_id}/events")) == ["Query"]
    assert requests.of(lambda: api.get("/runs")) == ["Query"]
    agent_id = api.get("/agents/support").json["id"]
    assert requests.of(lambda: api.get(f"/runs?agent_id={agent_id}")) == ["Query", "BatchGetItem"]


def test_sessions(api: Api, machine: Machine, model: ScriptedModel, requests: Requests) -> None:
    runs.agent(api)
    model.says("done")
    runs.start(api, session_id="s-1")
    assert requests.of(lambda: api.get("/sessions")) == ["Query", "BatchGetItem"]
    assert requests.of(lambda: api.get("/sessions/s-1")) == ["BatchGetItem"]
    assert requests.of(lambda: api.get("/sessions/s-1/messages")) == ["BatchGetItem", "Query"]
    assert requests.of(lambda: api.delete("/sessions/s-1")) == ["BatchGetItem", *WRITE]


def test_cancelling(api: Api, machine: Machine, requests: Requests) -> None:
    runs.agent(api)
    machine.waits = False
    run_id = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json["id"]
    assert requests.of(lambda: api.post(f"/runs/{run_id}/cancel")) == ["GetItem", "Query", *WRITE]
