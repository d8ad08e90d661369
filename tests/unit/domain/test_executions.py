"""Executions: the runs as documents 0 and 2 show them."""

from typing import Any

import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

pytestmark = [
    pytest.mark.usefixtures("machine"),
    pytest.mark.covers(
        "GET /executions",
        "GET /executions/{execution_id}",
        "POST /executions/{execution_id}/cancel",
        "POST /runtime/{agent_id}/execute",
        "GET /runtime/executions",
        "GET /runtime/executions/{execution_id}",
        "POST /runtime/executions/{execution_id}/cancel",
    ),
]


def published(api: Api, name: str = "support", **fields: Any) -> Any:
    """A published version of an agent; returns the agent."""
    api.make("/agents", name=name, **fields)
    assert api.post(f"/agents/{name}/publish", {}).status in {200, 201}
    return api.get(f"/agents/{name}").json


def execute(api: Api, agent: str = "support", **payload: Any) -> Any:
    return api.post(f"/runtime/{agent}/execute", {"payload": payload or {"input": "Hello"}})


def test_history(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, model="openai:gpt-5")
    runs.agent(api, name="sales")
    made = []
    for n, agent in enumerate(("support", "sales", "support")):
        model.says(f"answer {n}")
        made.append(runs.start(api, f"question {n}", agent_id=agent))
    shown = api.get("/executions").json
    assert [each["prompt"] for each in shown] == ["question 2", "question 1", "question 0"]
    assert shown[0] == {
        "id": made[2]["id"],
        "tenant_id": "tenant_a",
        "agent_id": made[2]["agent_id"],
        "prompt": "question 2",
        "model": "openai:gpt-5",
        "response": "answer 2",
        "timestamp": made[2]["created_at"],
        "status": "succeeded",
        "error_message": None,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cost_usd": made[2]["cost_usd"],
    }
    assert api.get(f"/executions/{made[2]['id']}").json == shown[0]
    for agent in ("support", made[0]["agent_id"]):
        assert [each["id"] for each in api.get(f"/executions?agent_id={agent}").json] == [made[2]["id"], made[0]["id"]]
    pages = [api.get(f"/executions?page={n}&page_size=1").json for n in (1, 2, 3, 4)]
    assert [[each["id"] for each in page] for page in pages] == [[run["id"]] for run in made[::-1]] + [[]]


def test_execute(api: Api, model: ScriptedModel) -> None:
    agent = published(api)
    model.says("Response from agent")
    answer = execute(api)
    assert answer.status == 201
    shown = answer.json
    run = api.get(f"/runs/{shown['id']}").json
    assert answer.headers["location"] == f"/runtime/executions/{shown['id']}"
    assert shown == {
        "id": run["id"],
        "agent_id": agent["id"],
        "agent_version_id": agent["current_version_id"],
        "user_id": "user_1",
        "status": "completed",
        "input_data": {"input": "Hello"},
        "output_data": {"result": "Response from agent"},
        "error_message": None,
        "created_at": run["created_at"],
        "updated_at": run["updated_at"],
    }
    assert api.get(f"/runtime/executions/{shown['id']}").json == shown
    assert api.get("/runtime/executions?skip=0&limit=100").json == [shown]


def test_failed_execution(api: Api, model: ScriptedModel) -> None:
    published(api)
    model.fails(401)
    shown = execute(api).json
    assert (shown["status"], shown["output_data"]) == ("failed", None)
    assert "refused" in shown["error_message"]


def test_execution_that_goes_on(api: Api, machine: Machine) -> None:
    published(api)
    machine.waits = False
    answer = execute(api)
    assert (answer.status, answer.json["status"]) == (201, "running")
    run_id = answer.json["id"]
    assert api.post(f"/runtime/executions/{run_id}/cancel").json["status"] == "cancelled"
    assert api.get(f"/runtime/executions/{run_id}").json["status"] == "cancelled"
    for path in (f"/runtime/executions/{run_id}", f"/executions/{run_id}", f"/runs/{run_id}"):
        assert api.post(f"{path}/cancel").code == "run_ended"


def test_execution_lasts_thirty_seconds(api: Api, machine: Machine, travel: Any) -> None:
    published(api)
    machine.waits = False
    run_id = execute(api).json["id"]
    travel(29 + 10)
    assert api.get(f"/runtime/executions/{run_id}").json["status"] == "running"
    travel(2)
    shown = api.get(f"/runtime/executions/{run_id}").json
    assert (shown["status"], shown["error_message"]) == ("failed", "The run did not end within its limit.")


def test_execution_in_a_queue_is_pending(api: Api, machine: Machine) -> None:
    runs.agent(api)
    machine.waits = False
    body = {"agent_id": "support", "input_message": "Hi", "session_id": "s-1", "on_conflict": "enqueue"}
    first, second = (api.post("/runs", body).json["id"] for _ in range(2))
    assert [api.get(f"/runtime/executions/{each}").json["status"] for each in (first, second)] == ["running", "pending"]
    answer = api.post(f"/executions/{second}/cancel")
    assert (answer.status, answer.json["status"]) == (200, "cancelled")


def test_agent_without_a_version_is_not_ready(api: Api) -> None:
    runs.agent(api, status="draft")
    answer = execute(api)
    assert (answer.status, answer.code) == (409, "no_ready_version")
    assert api.get("/runs").json == []
    assert execute(api, "nobody").status == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"payload": {}},
        {"payload": "x"},
        {"payload": {"input": ""}},
        {"payload": {"input": 1}},
        {"payload": {"input": "x", "y": 1}},
    ],
)
def test_bad_payloads(api: Api, body: Any) -> None:
    published(api)
    assert api.post("/runtime/support/execute", body).status == 422


def test_executions_of_a_version(api: Api, model: ScriptedModel) -> None:
    first = published(api)["current_version_id"]
    model.says("one").says("two")
    one = execute(api).json
    api.patch("/agents/support", {"role": "changed"})
    assert api.post("/agents/support/publish", {}).status in {200, 201}
    second = api.get("/agents/support").json["current_version_id"]
    two = execute(api).json
    assert [one["agent_version_id"], two["agent_version_id"]] == [first, second]
    assert api.get(f"/runtime/executions?agent_version_id={first}").json == [one]
    assert api.get(f"/runtime/executions?agent_version_id={second}").json == [two]
    assert api.get("/runtime/executions?agent_version_id=nobody").json == []


def test_draft_has_no_version(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, status="draft")
    model.says("ok")
    run = runs.start(api)
    assert api.get(f"/runtime/executions/{run['id']}").json["agent_version_id"] is None


def test_foreign_executions_are_unknown(api: Api, other: Api, model: ScriptedModel) -> None:
    published(api)
    model.says("ok")
    run_id = execute(api).json["id"]
    for path in (f"/executions/{run_id}", f"/runtime/executions/{run_id}"):
        assert other.get(path).status == 404
        assert other.post(f"{path}/cancel").status == 404
    assert other.get("/executions").json == other.get("/runtime/executions").json == []
    assert execute(other).status == 404
