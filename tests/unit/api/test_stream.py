"""Streamed answers: what a client sees of a run, from wherever it begins, and what it is refused."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.api.stream import READY_PATH
from shared.clients import machines
from shared.domain import run_ends, watching
from shared.errors import TableBusy, Unavailable
from shared.store import run_log
from shared.store.table import TenantStore
from tests.unit.support import runs, stream
from tests.unit.support.gateway import Api, load
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

# An event loop talks to itself through a pair of sockets.
pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.covers("POST /runs/stream", "GET /runs/{run_id}/stream"),
]

TASK = {"agent_id": "support", "input_message": "Hi"}
Setting = Callable[[str, str | None], None]


def begun(api: Api, machine: Machine) -> str:
    """A run that no machine works on; its id."""
    runs.agent(api)
    machine.waits = False
    return str(api.post("/runs", TASK).json["id"])


def add(store: TenantStore, run_id: str, *events: tuple[str, dict[str, Any]]) -> None:
    """Write events behind those that are there, in batches of 1, 2, 3, ..."""
    size = 1
    while events:
        store.write(run_log.append(run_id, run_log.read(store, run_id).tail, events[:size]))
        events, size = events[size:], min(size + 1, run_log.MAX_BATCH)


def delta(number: int) -> tuple[str, dict[str, Any]]:
    return "message.delta", {"step": 1, "attempt": 1, "content": f"{number} "}


def test_a_run_is_watched_from_its_first_event_to_its_end(api: Api, machine: Machine, model: ScriptedModel) -> None:
    model.streams("Grüße,\nline two")
    runs.agent(api)
    answer = stream.request(api, "POST", "/runs/stream", TASK)
    assert answer.status == 200
    assert answer.closed
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("text/event-stream", "no-cache")
    (_, name, started), *_ = answer.events
    assert name == "start"
    assert started["trace_id"] == answer.headers["x-trace-id"]
    assert [number for number, _, _ in answer.events] == list(range(1, len(answer.events) + 1))
    assert answer.events[-1][1:] == (
        "result",
        {
            "output": "Grüße,\nline two",
            "tokens": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        },
    )
    found = runs.events(api, started["run_id"])
    assert answer.events == [(event["id"], event["event"], event["data"]) for event in found]
    assert machine.pointers == [{"tenant_id": "tenant_a", "run_id": started["run_id"]}]


def test_a_frame_is_three_lines(api: Api, store: TenantStore, machine: Machine) -> None:
    run_id = begun(api, machine)
    add(store, run_id, ("message.delta", {"content": "a\r\nb\u2028\n\nid: 7"}))
    run_ends.finish(store, run_id, "cancelled", stop_reason="cancelled", error="Enough.")
    text = stream.request(api, "GET", f"/runs/{run_id}/stream?after=1").text
    first, second, rest = text.split("\n\n")
    assert first == 'id: 2\nevent: message.delta\ndata: {"content":"a\\r\\nb\u2028\\n\\nid: 7"}'
    assert second.startswith("id: 3\nevent: cancelled\ndata: {")
    assert rest == ""


def test_a_finished_run_is_resumed_behind_any_event(api: Api, store: TenantStore, machine: Machine) -> None:
    run_id = begun(api, machine)
    add(store, run_id, *map(delta, range(200)))
    run_ends.finish(store, run_id, "succeeded", stop_reason="completed", output="done")
    whole = stream.request(api, "GET", f"/runs/{run_id}/stream").events
    assert [number for number, _, _ in whole] == list(range(1, 203))
    for after in (0, 1, 2, 31, 32, 33, 100, 201, 202, 205):
        assert stream.request(api, "GET", f"/runs/{run_id}/stream?after={after}").events == whole[after:]
    header = {"Last-Event-ID": "200"}
    assert stream.request(api, "GET", f"/runs/{run_id}/stream?after=3", headers=header).events == whole[200:]


def test_events_come_as_they_are_written(api: Api, store: TenantStore, machine: Machine) -> None:
    run_id = begun(api, machine)
    numbers = iter(range(20))

    def seen(text: str) -> bool:
        number = next(numbers, None)
        if number is not None:
            add(store, run_id, *map(delta, range(number % 3 + 1)))
        else:
            run_ends.finish(store, run_id, "succeeded", stop_reason="completed", output="done")
        return False

    answer = stream.request(api, "GET", f"/runs/{run_id}/stream", until=seen)
    assert [(number, name) for number, name, _ in answer.events] == [
        (event.id, event.event) for event in run_log.read(store, run_id).events
    ]
    assert answer.events[-1][1] == "result"


def test_a_silent_run_is_kept_alive_and_ends_at_its_deadline(
    api: Api, machine: Machine, setting: Setting, travel: Callable[[float], None]
) -> None:
    setting("SSE_KEEPALIVE_SECONDS", "0.2")
    run_id = begun(api, machine)

    def seen(text: str) -> bool:
        if text.count(": keep-alive\n\n") == 3:
            # The machine has died: nobody but the deadline ends this run.
            travel(131)
        return False

    answer = stream.request(api, "GET", f"/runs/{run_id}/stream", until=seen)
    assert [name for _, name, _ in answer.events] == ["start", "error"]
    assert answer.events[-1][2]["status"] == "timed_out"
    assert answer.closed
    assert runs.events(api, run_id)


def test_a_stream_ends_before_the_gateway_cuts_it_off(
    api: Api, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.api.stream._LONGEST_SECONDS", 0.2)
    answer = stream.request(api, "GET", f"/runs/{begun(api, machine)}/stream")
    assert [name for _, name, _ in answer.events] == ["start"]
    assert answer.closed


def test_a_client_that_leaves_ends_its_stream_and_not_the_run(api: Api, store: TenantStore, machine: Machine) -> None:
    run_id = begun(api, machine)
    answer = stream.request(api, "GET", f"/runs/{run_id}/stream", until=lambda text: "start" in text)
    assert [name for _, name, _ in answer.events] == ["start"]
    assert api.get(f"/runs/{run_id}").json["status"] == "running"


def test_a_table_that_fails_breaks_the_stream_off(api: Api, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = begun(api, machine)

    def look(*_: Any) -> Any:
        raise TableBusy("throttled")

    monkeypatch.setattr(watching, "look", look)
    answer = stream.request(api, "GET", f"/runs/{run_id}/stream")
    assert (answer.status, answer.text, answer.closed) == (200, "", True)


# Who calls, and what is refused


def test_nobody_is_let_in_without_the_adapters_word() -> None:
    for module, method, path in (("start", "POST", "/runs/stream"), ("follow", "GET", "/runs/x/stream")):
        application = load(f"run_stream/{module}").application
        speaks = json.dumps({"resourcePath": path, "authorizer": {"tenant_id": "tenant_a", "scopes": "admin"}}).encode()
        name = b"x-amzn-request-context"
        for headers in ([], [(name, b"nonsense")], [(name, b"[]")], [(name, speaks), (name, speaks)]):
            scope = {"path": path, "raw_path": path.encode(), "method": method, "query_string": b"", "headers": headers}
            answer = stream.ask(application, scope)
            assert (answer.status, answer.json["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("name", ["x-amzn-request-context", "X-Amzn-Request-Context", "x-amz-tenant-id"])
def test_a_client_cannot_speak_for_the_adapter(
    api: Api, other: Api, machine: Machine, store: TenantStore, name: str
) -> None:
    run_id = begun(api, machine)
    run_ends.finish(store, run_id, "succeeded", stop_reason="completed", output="done")
    speaks = {"authorizer": {"tenant_id": "tenant_a", "scopes": "admin"}, "resourcePath": "/runs/{run_id}/stream"}
    answer = stream.request(other, "GET", f"/runs/{run_id}/stream", headers={name: json.dumps(speaks)})
    assert (answer.status, answer.json["code"]) == (404, "not_found")


def test_the_server_says_when_it_is_ready() -> None:
    for module in ("start", "follow"):
        scope = {
            "path": READY_PATH,
            "raw_path": READY_PATH.encode(),
            "method": "GET",
            "query_string": b"",
            "headers": [],
        }
        assert stream.ask(load(f"run_stream/{module}").application, scope).status == 204


def test_the_path_may_begin_with_a_base_path(api: Api, machine: Machine, store: TenantStore) -> None:
    run_id = begun(api, machine)
    run_ends.finish(store, run_id, "succeeded", stop_reason="completed", output="done")
    application = load("run_stream/follow").application
    context = {
        "resourcePath": "/runs/{run_id}/stream",
        "authorizer": {"tenant_id": "tenant_a", "user_id": "user_1", "scopes": "runs:read"},
    }
    path = f"/api/v1/runs/{run_id}/stream"
    headers = [(b"x-amzn-request-context", json.dumps(context).encode())]
    scope = {"path": path, "raw_path": path.encode(), "method": "GET", "query_string": b"after=1", "headers": headers}
    assert [name for _, name, _ in stream.ask(application, scope).events] == ["result"]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"raw": "{"}, 400, "invalid_json"),
        ({"raw": '{"a": NaN}'}, 400, "invalid_json"),
        ({"body": {"agent_id": "support"}}, 422, "validation_error"),
        ({"body": TASK | {"stream": True}}, 422, "validation_error"),
        ({"body": TASK | {"input_message": "x" * 1_000_001}}, 413, "payload_too_large"),
        ({"body": TASK | {"agent_id": "nobody"}}, 404, "not_found"),
        ({"body": TASK, "headers": {"Idempotency-Key": ""}}, 400, "invalid_idempotency_key"),
    ],
)
def test_what_is_refused_is_refused_before_the_stream(
    api: Api, machine: Machine, sent: dict[str, Any], status: int, code: str
) -> None:
    runs.agent(api)
    answer = stream.request(api, "POST", "/runs/stream", **sent)
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.text.encode()))
    assert answer.json["trace_id"] == answer.headers["x-trace-id"]
    assert not machine.pointers
    # Permission comes before all of it.
    answer = stream.request(api.as_(scopes="runs:read"), "POST", "/runs/stream", **sent)
    assert (answer.status, answer.json["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "1000001", ""])
def test_a_bad_place_to_go_on_is_refused(api: Api, machine: Machine, last: str) -> None:
    run_id = begun(api, machine)
    for query, headers in ((f"?after={last}", {}), ("", {"Last-Event-ID": last})):
        assert stream.request(api, "GET", f"/runs/{run_id}/stream{query}", headers=headers).status == 422


def test_a_run_of_another_tenant_does_not_exist(api: Api, other: Api, machine: Machine) -> None:
    run_id = begun(api, machine)
    foreign = stream.request(other, "GET", f"/runs/{run_id}/stream")
    never = stream.request(other, "GET", "/runs/nobody/stream")
    assert foreign.status == never.status == 404
    assert {**foreign.json, "trace_id": ""} == {**never.json, "trace_id": ""}


# Idempotency-Key

KEY = {"Idempotency-Key": "k-1"}


def test_a_repeated_request_joins_the_run_of_the_first(api: Api, machine: Machine, model: ScriptedModel) -> None:
    model.streams("once")
    runs.agent(api)
    first, second = (stream.request(api, "POST", "/runs/stream", TASK, headers=KEY) for _ in range(2))
    assert first.events == second.events
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(machine.pointers) == len(api.get("/runs").json) == 1
    other = stream.request(api, "POST", "/runs/stream", TASK | {"input_message": "Else"}, headers=KEY)
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


def test_the_key_is_held_until_the_machine_is_started_and_not_until_the_stream_ends(
    api: Api, store: TenantStore, machine: Machine
) -> None:
    runs.agent(api)
    machine.waits = False
    answers = [
        stream.request(api, "POST", "/runs/stream", TASK, headers=KEY, until=lambda text: "start" in text)
        for _ in range(3)
    ]
    assert len({answer.events[0][2]["run_id"] for answer in answers}) == 1
    assert len(machine.pointers) == 1


def test_a_machine_that_did_not_start_is_started_by_the_next_try(
    api: Api, machine: Machine, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.agent(api)

    def broken(pointer: dict[str, str]) -> None:
        raise Unavailable("The run could not be started; try again.")

    with monkeypatch.context() as patch:
        patch.setattr(machines, "start_express", broken)
        answer = stream.request(api, "POST", "/runs/stream", TASK, headers=KEY)
        assert (answer.status, answer.json["code"]) == (503, "unavailable")
    model.streams("at last")
    answer = stream.request(api, "POST", "/runs/stream", TASK, headers=KEY)
    assert answer.events[-1][1] == "result"
    assert [run["id"] for run in api.get("/runs").json] == [answer.events[0][2]["run_id"]]
