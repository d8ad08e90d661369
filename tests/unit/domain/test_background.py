"""Runs in the background: answered at once, begun once, and never left hanging."""

from typing import Any

import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

pytestmark = pytest.mark.covers("POST /runs", "POST /tools/{tool_ref}/execute")
ASYNC = {"Prefer": "respond-async"}


def begin(api: Api, *, prefer: str = "respond-async", key: str | None = None, **fields: Any) -> Answer:
    headers = {"Prefer": prefer} | ({"Idempotency-Key": key} if key else {})
    return api.post("/runs", {"agent_id": "support", "input_message": "Hi"} | fields, headers=headers)


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async", "wait=10, respond-async", "respond-async; x=1"])
def test_run_in_the_background(api: Api, machine: Machine, model: ScriptedModel, prefer: str) -> None:
    runs.agent(api)
    answer = begin(api, prefer=prefer)
    assert (answer.status, answer.json["status"]) == (202, "running")
    assert answer.headers["location"] == f"/runs/{answer.json['id']}"
    assert answer.headers["preference-applied"] == "respond-async"
    assert (len(machine.background), machine.pointers) == (1, [])
    model.says("done")
    machine.execute(machine.background[0])
    assert api.get(answer.headers["location"]).json["output_message"] == "done"


@pytest.mark.parametrize("prefer", ["", "wait=100", "respond-asynchronously", "return=minimal"])
def test_other_preferences_are_not_applied(api: Api, machine: Machine, model: ScriptedModel, prefer: str) -> None:
    runs.agent(api)
    model.says("done")
    answer = begin(api, prefer=prefer)
    assert answer.status == 201
    assert "preference-applied" not in answer.headers


def test_only_the_background_takes_its_time(api: Api, machine: Machine) -> None:
    runs.agent(api)
    assert begin(api, limits={"max_seconds": 3600}).status == 202
    assert begin(api, limits={"max_seconds": 3601}).status == 422
    refused = begin(api, prefer="", limits={"max_seconds": 291})
    assert (refused.status, refused.json["errors"][0]["loc"]) == (422, ["body", "limits", "max_seconds"])


@pytest.mark.parametrize("prefer", ["", "respond-async"])
def test_run_whose_machine_cannot_be_started_ends(api: Api, machine: Machine, prefer: str) -> None:
    runs.agent(api)
    machine.broken = True
    answer = begin(api, prefer=prefer, session_id="s-1")
    assert (answer.status, answer.code) == (503, "unavailable")
    (run,) = api.get("/runs").json
    assert (run["status"], run["error_message"]) == ("failed", "The run could not be started.")
    assert api.get("/sessions/s-1").json["status"] == "idle"


@pytest.mark.parametrize("prefer", ["", "respond-async"])
def test_request_that_can_be_repeated_starts_the_machine_later(
    api: Api, machine: Machine, model: ScriptedModel, prefer: str
) -> None:
    runs.agent(api)
    machine.broken = True
    assert begin(api, prefer=prefer, key="k", session_id="s-1").status == 503
    machine.broken = False
    if not prefer:
        model.says("done")
    answer = begin(api, prefer=prefer, key="k", session_id="s-1")
    assert answer.status == (202 if prefer else 201)
    assert [run["id"] for run in api.get("/runs").json] == [answer.json["id"]]


def test_repetition_is_answered_like_the_first(api: Api, machine: Machine) -> None:
    runs.agent(api)
    first, second = begin(api, key="k"), begin(api, key="k")
    assert first.json == second.json
    assert second.headers["preference-applied"] == "respond-async"
    assert len(machine.background) == 1


def test_tool_is_executed_in_the_background(api: Api, machine: Machine) -> None:
    tool_id = runs.internal(api)
    answer = api.post(f"/tools/{tool_id}/execute", {"args": {"text": "x"}}, headers=ASYNC)
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
    machine.execute(machine.background[0])
    assert api.get(answer.headers["location"]).json["status"] == "succeeded"


def test_model_of_the_run_is_shown(api: Api, machine: Machine) -> None:
    runs.agent(api, model="openai:gpt-5")
    assert begin(api).json["model"] == "openai:gpt-5"
    assert "background" not in begin(api).json
