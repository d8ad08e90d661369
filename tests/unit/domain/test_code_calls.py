"""Runs of agents' own code: what the worker asks, what it takes for an answer, and what it writes down."""

import json
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

import pytest

from shared.clients import code_runner, objects
from shared.domain import code_calls
from shared.errors import RunnerUnavailable
from shared.store.table import TenantStore
from tests.unit.support import tarballs, uploads
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine

pytestmark = pytest.mark.usefixtures("machine")

ANSWER: dict[str, Any] = {
    "status": "succeeded",
    "reason": "completed",
    "result": '{"said":"hello"}',
    "error": None,
    "lines": [[1_700_000_000.5, "WARNING", "careful"]],
    "walls": ["namespaces", "user", "filter"],
    "duration_ms": 12,
}
Runner = Callable[[str, dict[str, Any]], Any]


@pytest.fixture
def agent(api: Api) -> str:
    """A code agent with one version that is ready."""
    agent_id = str(api.make("/agents", name="parrot", kind="code")["id"])
    assert uploads.built(
        api, agent_id, tarballs.agent(manifest=tarballs.MANIFEST + b"timeout_seconds: 5\nmemory: 256\n")
    )
    return agent_id


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What the runner was asked; it answers `ANSWER`."""
    found: list[tuple[str, dict[str, Any]]] = []

    def invoke(tenant_id: str, task: Any) -> Any:
        found.append((tenant_id, json.loads(json.dumps(task))))
        return ANSWER

    monkeypatch.setattr(code_runner, "invoke", invoke)
    return found


def answers(monkeypatch: pytest.MonkeyPatch, **said: Any) -> None:
    monkeypatch.setattr(code_runner, "invoke", lambda tenant_id, task: ANSWER | said)


def execute(api: Api, agent: str, payload: Any = None) -> Any:
    return api.post(f"/runtime/{agent}/execute", {"payload": payload or {}})


def lines(api: Api, run_id: str) -> list[Any]:
    found: list[Any] = api.get(f"/logs/executions/{run_id}/logs").json
    return [(line["level"], line["message"], line["source"]) for line in found]


def test_the_runner_is_asked_for_the_tenant_of_the_run(
    api: Api, agent: str, asked: list[tuple[str, dict[str, Any]]], machine: Machine
) -> None:
    execution = execute(api, agent, {"a": [1, "ü"]}).json
    ((tenant_id, task),) = asked
    assert tenant_id == api.get(f"/runs/{execution['id']}").json["tenant_id"]
    assert task["payload"] == {"a": [1, "ü"]}
    assert (task["entrypoint"], task["memory"]) == ("agent.main:handle", 256)
    assert 0 < task["seconds"] <= 5
    assert f"/builds/{tenant_id}/agents/{agent}/artifacts/v1.tar.gz?" in task["bundle"]
    assert f"/stops/{tenant_id}/{execution['id']}?" in task["stop"]
    assert machine.invoked == ["call_model", "call_code"]


def test_the_answer_is_written_down(api: Api, agent: str, asked: list[Any]) -> None:
    execution = execute(api, agent, {"input": "x"}).json
    assert (execution["status"], execution["output_data"]) == ("completed", {"said": "hello"})
    run = api.get(f"/runs/{execution['id']}").json
    assert (run["kind"], run["stop_reason"], run["output_message"]) == ("code", "completed", '{"said":"hello"}')
    assert (run["total_tokens"], run["cost_usd"], run["tools_called"]) == (None, None, [])
    assert lines(api, run["id"]) == [
        ("WARNING", "careful", "runtime"),
        ("INFO", f"Execution {run['id']} completed successfully", "runtime"),
    ]
    said = {event["event"]: event["data"] for event in api.get(f"/runs/{run['id']}/events").json}
    walls = ["namespaces", "user", "filter"]
    assert said["code.completed"] == {"reason": "completed", "duration_ms": 12, "walls": walls}


@pytest.mark.parametrize(
    ("result", "output", "data"),
    [
        ('"plain"', "plain", {"result": "plain"}),
        ('"{\\"a\\":1}"', '{"a":1}', {"result": '{"a":1}'}),
        ("[1, 2]", "[1,2]", {"result": [1, 2]}),
        ("null", "null", {"result": None}),
        ("{}", "{}", {}),
    ],
)
def test_results_of_any_kind(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, result: str, output: str, data: Any
) -> None:
    answers(monkeypatch, result=result)
    execution = execute(api, agent).json
    assert execution["output_data"] == data
    assert api.get(f"/runs/{execution['id']}").json["output_message"] == output


@pytest.mark.parametrize(
    ("status", "shown"), [("failed", "failed"), ("timed_out", "failed")], ids=["failed", "timed out"]
)
def test_code_that_failed(api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, status: str, shown: str) -> None:
    answers(monkeypatch, status=status, reason="agent_error", result=None, error="ValueError: bad")
    execution = execute(api, agent).json
    assert (execution["status"], execution["error_message"]) == (shown, "ValueError: bad")
    run = api.get(f"/runs/{execution['id']}").json
    assert (run["status"], run["stop_reason"]) == (status, "agent_error")
    assert lines(api, run["id"])[-1] == (
        "ERROR",
        f"Execution {run['id']} ended: agent_error. ValueError: bad",
        "runtime",
    )


@pytest.mark.parametrize(
    "said",
    [
        {"status": "paid"},
        {"status": "succeeded", "result": None},
        {"result": "no JSON"},
        {"result": '"\\ud800"'},
        {"result": "NaN"},
        {"result": json.dumps("x" * 100_001)},
        {"result": "[" * 100 + "]" * 100},
        {"result": 7},
        {"reason": ["completed"]},
        {"lines": [["soon", "INFO", "x"]]},
        {"lines": [[1e300, "INFO", "x"]]},
        {"lines": 5},
        {"duration_ms": "long"},
        {"more": 1},
    ],
)
def test_an_answer_that_is_none_is_asked_for_again_and_then_given_up(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, machine: Machine, said: dict[str, Any]
) -> None:
    answers(monkeypatch, **said)
    execution = execute(api, agent).json
    assert execution["status"] == "failed"
    assert machine.invoked == ["call_model", *["call_code"] * 4, "fail_run"]
    assert api.get(f"/runs/{execution['id']}").json["stop_reason"] == "runner_unavailable"


def test_what_forges_its_neighbours_in_the_answer_gains_nothing(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(monkeypatch, result='1,"status":"succeeded"', lines=[[1.0, "ROOT", "\x1b[2Jgone"]])
    execution = execute(api, agent).json
    assert execution["output_data"] == {"result": 1}
    assert lines(api, execution["id"])[0] == ("INFO", "\N{REPLACEMENT CHARACTER}[2Jgone", "runtime")


def test_a_runner_that_is_out_of_reach_is_asked_again(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, machine: Machine
) -> None:
    tries: list[int] = []

    def invoke(tenant_id: str, task: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise RunnerUnavailable("not reached")
        return ANSWER

    monkeypatch.setattr(code_runner, "invoke", invoke)
    assert execute(api, agent).json["status"] == "completed"
    assert machine.invoked == ["call_model", *["call_code"] * 3]


def test_a_run_that_is_cancelled_meanwhile_stops_the_code(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch, machine: Machine, store: TenantStore
) -> None:
    machine.waits = False
    run_id = execute(api, agent).json["id"]
    told = threading.Event()
    put, wait = objects.put, futures.wait
    ended = {"status": "cancelled", "reason": "cancelled", "result": None, "error": "The run was cancelled."}

    def mark(key: str, *args: Any) -> None:
        put(key, *args)
        assert key == f"stops/{store.tenant_id}/{run_id}"
        told.set()

    def invoke(tenant_id: str, task: Any) -> Any:
        assert told.wait(30), "nobody told the code to stop"
        return ANSWER | ended

    def cancel_first(asked: Any, timeout: float) -> Any:
        assert api.post(f"/runs/{run_id}/cancel").json["status"] == "cancelled"
        return wait(asked, timeout=0)

    monkeypatch.setattr(objects, "put", mark)
    monkeypatch.setattr(code_runner, "invoke", invoke)
    monkeypatch.setattr(code_calls, "wait", cancel_first)
    machine.execute({"tenant_id": store.tenant_id, "run_id": run_id})
    assert machine.invoked[-1] == "fail_run"
    assert api.get(f"/runs/{run_id}").json["status"] == "cancelled"
    assert lines(api, run_id)[-1][:2] == ("WARNING", f"Execution {run_id} ended: cancelled. The run was cancelled.")


def test_a_run_that_has_ended_calls_nothing(
    api: Api, agent: str, asked: list[Any], machine: Machine, store: TenantStore
) -> None:
    machine.waits = False
    run_id = execute(api, agent).json["id"]
    assert api.post(f"/runs/{run_id}/cancel").status == 200
    machine.invoke("call_code", {"tenant_id": store.tenant_id, "run_id": run_id})
    assert asked == []


def test_a_payload_that_no_run_can_keep(api: Api, agent: str, asked: list[Any]) -> None:
    answer = execute(api, agent, {"a": "x" * 50_001})
    assert (answer.status, answer.code) == (422, "unprocessable")
    quotes = execute(api, agent, {"a": '"' * 24_000})
    assert quotes.status == 201
    assert asked[0][1]["payload"] == {"a": '"' * 24_000}


def test_the_limits_of_a_run_bound_the_code(api: Api, agent: str, asked: list[Any]) -> None:
    body = {"agent_id": agent, "input_message": "x", "limits": {"max_seconds": 2}}
    assert api.post("/runs", body).json["status"] == "succeeded"
    assert asked[0][1]["seconds"] == 2
