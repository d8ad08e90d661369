"""Runs by the agent's own address."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

covers_run = pytest.mark.covers("POST /agents/{agent_ref}/run")
covers_interact = pytest.mark.covers("POST /agents/{agent_ref}/interact")


@covers_run
@pytest.mark.parametrize("field", ["task", "prompt", "input_message"])
def test_task_under_each_of_its_names(api: Api, machine: Machine, model: ScriptedModel, field: str) -> None:
    agent_id = runs.agent(api)
    model.says("done")
    answer = api.post("/agents/support/run", {field: "Hi", "metadata": {"a": 1}, "limits": {"max_steps": 3}})
    assert answer.status == 201
    run = answer.json
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert run == api.get(f"/runs/{run['id']}").json
    told = {name: run[name] for name in ("agent_id", "input_message", "output_message", "status", "metadata")}
    assert told == {
        "agent_id": agent_id,
        "input_message": "Hi",
        "output_message": "done",
        "status": "succeeded",
        "metadata": {"a": 1},
    }


@covers_run
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"task": "Hi", "prompt": "Hi"},
        {"task": "Hi", "input_message": "Hi"},
        {"task": ""},
        {"task": None},
        {"task": "x" * 100_001},
        {"task": "Hi", "agent_id": "support"},
        {"task": "Hi", "session_id": "no blanks"},
        {"task": "Hi", "limits": {"max_steps": 0}},
        {"message": "Hi"},
        "Hi",
        ["Hi"],
    ],
)
def test_tasks_that_are_refused(api: Api, machine: Machine, body: Any) -> None:
    runs.agent(api)
    assert api.post("/agents/support/run", body).status == 422
    assert api.get("/runs").json == []


@covers_interact
@pytest.mark.parametrize(
    "body", [{}, {"message": ""}, {"message": None}, {"message": "Hi", "session_id": "a b"}, {"task": "Hi"}, ["Hi"]]
)
def test_messages_that_are_refused(api: Api, machine: Machine, body: Any) -> None:
    runs.agent(api)
    assert api.post("/agents/support/interact", body).status == 422
    assert api.get("/runs").json == []


@covers_run
@covers_interact
@pytest.mark.parametrize("name", ["support", "Support Desk", "100% tea", "a%20b", "ü" * 200, "x" * 200])
def test_agents_of_all_names(api: Api, machine: Machine, model: ScriptedModel, name: str) -> None:
    agent_id = runs.agent(api, name=name)
    model.says("done").says("done")
    for verb, body in (("run", {"task": "Hi"}), ("interact", {"message": "Hi"})):
        assert api.make(f"/agents/{quote(name, safe='')}/{verb}", **body)["agent_id"] == agent_id


@covers_interact
def test_interaction_keeps_the_session(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("Hello Ada").says("You are Ada")
    first = api.make("/agents/support/interact", message="I am Ada")
    second = api.make("/agents/support/interact", message="Who am I?", session_id=first["session_id"])
    assert second["session_id"] == first["session_id"]
    assert [message["content"] for message in model.requests[-1]["messages"]] == ["I am Ada", "Hello Ada", "Who am I?"]


@covers_run
@covers_interact
@pytest.mark.parametrize(("verb", "body"), [("run", {"task": "Hi"}), ("interact", {"message": "Hi"})])
class TestLikeRuns:
    """What holds for POST /runs holds here."""

    def test_who_does_not_want_to_wait(self, api: Api, machine: Machine, verb: str, body: Any) -> None:
        runs.agent(api)
        answer = api.post(f"/agents/support/{verb}", body, headers={"Prefer": "respond-async"})
        assert (answer.status, answer.json["status"]) == (202, "running")
        assert answer.headers["preference-applied"] == "respond-async"

    def test_run_that_takes_longer_than_we_wait(self, api: Api, machine: Machine, verb: str, body: Any) -> None:
        runs.agent(api)
        machine.waits = False
        answer = api.post(f"/agents/support/{verb}", body)
        assert (answer.status, answer.headers["location"]) == (202, f"/runs/{answer.json['id']}")

    def test_replay(self, api: Api, machine: Machine, model: ScriptedModel, verb: str, body: Any) -> None:
        runs.agent(api)
        model.says("done")
        first = api.post(f"/agents/support/{verb}", body, headers={"Idempotency-Key": "k"})
        again = api.post(f"/agents/support/{verb}", body, headers={"Idempotency-Key": "k"})
        assert again.json == first.json
        assert len(api.get("/runs").json) == 1

    def test_agents_that_are_not_run(self, api: Api, other: Api, machine: Machine, verb: str, body: Any) -> None:
        agent_id = runs.agent(api)
        for ref in ("support", agent_id, "nobody", "01900000-0000-7000-8000-000000000000", "x" * 201):
            assert other.post(f"/agents/{ref}/{verb}", body).status == 404
        api.patch("/agents/support", {"status": "draft"})
        assert api.as_(scopes="runs:execute").post(f"/agents/support/{verb}", body).code == "agent_is_draft"
        api.patch("/agents/support", {"status": "archived"})
        assert api.post(f"/agents/support/{verb}", body).code == "agent_archived"
        api.delete("/agents/support")
        assert api.post(f"/agents/{agent_id}/{verb}", body).status == 404

    def test_name_costs_no_more_than_an_id(
        self, api: Api, machine: Machine, requests: Requests, verb: str, body: Any
    ) -> None:
        agent_id = runs.agent(api)
        machine.waits = False
        by_id: Callable[[], Any] = lambda: api.post(f"/agents/{agent_id}/{verb}", body)  # noqa: E731
        taken = requests.of(by_id)
        assert requests.of(lambda: api.post(f"/agents/support/{verb}", body)) == ["GetItem", *taken]
