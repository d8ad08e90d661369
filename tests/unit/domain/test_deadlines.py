"""Runs that outlive their limit: over for every reader at once, and in the table on the first look."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from shared.clients import llm
from shared.domain import failures
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, as_json, completion

Travel = Callable[[float], None]


@pytest.fixture
def lost(api: Api, machine: Machine) -> dict[str, Any]:
    """A run of at most 30 seconds whose machine is gone."""
    runs.agent(api)
    machine.waits = False
    answer = api.post("/runs", {"agent_id": "support", "input_message": "Hi", "limits": {"max_seconds": 30}})
    run: dict[str, Any] = answer.json
    return run


def test_run_within_its_limit_is_running(api: Api, lost: dict[str, Any], travel: Travel) -> None:
    travel(39)
    assert api.get(f"/runs/{lost['id']}").json["status"] == "running"
    assert [run["status"] for run in api.get("/runs").json] == ["running"]


def test_overdue_run_reads_as_timed_out_in_the_list(
    api: Api, lost: dict[str, Any], travel: Travel, store: TenantStore
) -> None:
    travel(41)
    (run,) = api.get("/runs").json
    assert (run["status"], run["stop_reason"]) == ("timed_out", "max_seconds")
    assert len(api.get(f"/runs/{run['id']}/events").json) == 1, "a list writes nothing"


def test_overdue_run_is_settled_once(api: Api, lost: dict[str, Any], travel: Travel) -> None:
    travel(41)
    first = api.get(f"/runs/{lost['id']}").json
    assert (first["status"], first["stop_reason"]) == ("timed_out", "max_seconds")
    assert first["error_message"] == "The run did not end within its limit."
    travel(60)
    assert api.get(f"/runs/{lost['id']}").json == first
    assert api.get("/runs").json == [first]
    assert runs.names(runs.events(api, lost["id"])) == ["start", "error"]


def test_late_answer_cannot_overwrite_what_readers_saw(
    api: Api, machine: Machine, model: ScriptedModel, lost: dict[str, Any], travel: Travel
) -> None:
    travel(41)
    seen = api.get(f"/runs/{lost['id']}").json
    machine.execute(machine.pointers[0])
    assert api.get(f"/runs/{lost['id']}").json == seen
    assert model.requests == []


def test_answer_after_the_deadline_is_no_success(
    api: Api, machine: Machine, model: ScriptedModel, lost: dict[str, Any], travel: Travel
) -> None:
    """Nobody looked, but somebody may have: from the deadline and the grace on, the run is over."""

    def late(request: dict[str, Any]) -> httpx2.Response:
        travel(41)
        return as_json(completion("late"))

    model.does(late)
    machine.execute(machine.pointers[0])
    run = api.get(f"/runs/{lost['id']}").json
    assert (run["status"], run["stop_reason"], run["output_message"]) == ("timed_out", "max_seconds", None)
    assert runs.names(runs.events(api, lost["id"])) == ["start", "error"]


def test_answer_within_the_grace_counts(
    api: Api, machine: Machine, model: ScriptedModel, lost: dict[str, Any], travel: Travel
) -> None:
    def just_in_time(request: dict[str, Any]) -> httpx2.Response:
        travel(39)
        return as_json(completion("just in time"))

    model.does(just_in_time)
    machine.execute(machine.pointers[0])
    assert api.get(f"/runs/{lost['id']}").json["output_message"] == "just in time"


def test_no_model_is_asked_after_the_deadline(
    api: Api, machine: Machine, model: ScriptedModel, lost: dict[str, Any], travel: Travel
) -> None:
    travel(31)
    machine.execute(machine.pointers[0])
    run = api.get(f"/runs/{lost['id']}").json
    assert (run["status"], run["stop_reason"]) == ("timed_out", "max_seconds")
    assert model.requests == []


def test_model_gets_no_more_time_than_the_run_has(
    api: Api, machine: Machine, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    chat = llm.chat

    def timed(*args: Any, timeout_s: float, **options: Any) -> llm.Reply:
        given.append(timeout_s)
        return chat(*args, timeout_s=timeout_s, **options)

    monkeypatch.setattr(llm, "chat", timed)
    runs.agent(api)
    for seconds in (20, 290):
        model.says("ok")
        runs.start(api, limits={"max_seconds": seconds})
    assert 15 < given[0] <= 20
    assert given[1] == 110


@pytest.mark.parametrize(
    ("name", "cause", "told"),
    [
        ("ModelUnavailable", '{"errorMessage": "busy"}', ("failed", "model_unavailable", "busy")),
        ("ModelRejected", '{"errorMessage": "no"}', ("failed", "model_rejected", "no")),
        ("RunCancelled", '{"errorMessage": "over"}', ("failed", "cancelled", "over")),
        ("LimitExceeded", '{"errorMessage": "max_steps: 3"}', ("failed", "max_steps", "max_steps: 3")),
        ("LimitExceeded", '{"errorMessage": "max_seconds: 3"}', ("timed_out", "max_seconds", "max_seconds: 3")),
        ("ModelRejected", "not json", ("failed", "model_rejected", "not json")),
        ("ModelRejected", "[]", ("failed", "model_rejected", "[]")),
        ("ModelRejected", "", ("failed", "model_rejected", "")),
        ("States.Timeout", "x", ("timed_out", "timeout", "A step of the run did not end in time.")),
        ("Sandbox.Timedout", "x", ("timed_out", "timeout", "A step of the run did not end in time.")),
    ],
)
def test_errors_of_the_machine_are_told(name: str, cause: str, told: tuple[str, str, str]) -> None:
    assert failures.told(name, cause) == told


@pytest.mark.parametrize(
    "name", ["KeyError", "ClientError", "Lambda.Unknown", "PlatformError", "NotFound", "Any", "__doc__", "", "x" * 999]
)
def test_errors_that_are_not_the_runs_are_not_quoted(name: str) -> None:
    status, reason, message = failures.told(name, '{"errorMessage": "secret"}')
    assert (status, reason) == ("failed", "error")
    assert "secret" not in message
    assert len(message) < 200
