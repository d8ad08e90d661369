"""Runs of kind `tool`: one call of one tool, through the same log, machine, guards and ledger as an agent's run."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.clients import http
from shared.domain import tool_runs
from tests.unit.support import runs
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.server import ToolServer

pytestmark = [
    pytest.mark.usefixtures("machine"),
    pytest.mark.covers("POST /tools/{tool_ref}/execute", "POST /tools/{tool_ref}/test"),
]
# Writes of a run: 0 its begin, 1 the intent, 2 the call's end, 3 the run's end.
WRITES = 4


def execute(api: Api, tool: str = "lookup", **body: Any) -> Any:
    """Call a tool and return the finished run."""
    return api.make(f"/tools/{tool}/execute", **body)


def test_a_call_of_a_tool_is_a_run(api: Api, machine: Machine, server: ToolServer) -> None:
    runs.webhook(api)
    answer = api.post("/tools/lookup/execute", {"args": {"q": "tea"}})
    assert answer.status == 201
    run = answer.json
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert (run["kind"], run["status"], run["stop_reason"], run["test"]) == ("tool", "succeeded", "completed", False)
    assert (run["agent_id"], run["agent_version"], run["session_id"]) == (None, None, run["id"])
    assert json.loads(run["input_message"]) == {"q": "tea"}
    assert json.loads(run["output_message"]) == {"ok": True}
    (called,) = run["tools_called"]
    assert called == {
        "name": "lookup",
        "tool_call_id": "call_1",
        "args": {"q": "tea"},
        "status": "succeeded",
        "duration_ms": called["duration_ms"],
    }
    assert [run[count] for count in ("prompt_tokens", "total_tokens", "cost_usd", "error_message")] == [None] * 4
    assert run == api.get(f"/runs/{run['id']}").json
    assert [listed["id"] for listed in api.get("/runs").json] == [run["id"]]
    assert server.bodies() == [{"q": "tea"}]
    (request,) = server.requests
    assert request.headers["idempotency-key"] == f"{run['id']}:call_1"
    assert request.headers["x-trace-id"] == run["trace_id"] == answer.headers["x-trace-id"]
    assert machine.invoked == ["call_model", "call_tool", "call_model"]


def test_its_events_are_those_of_any_run(api: Api, server: ToolServer) -> None:
    runs.webhook(api)
    events = runs.events(api, execute(api)["id"])
    assert runs.names(events) == ["start", "message.completed", "tool.started", "tool.completed", "result"]
    assert events[-1]["data"]["output"] == '{"ok":true}'


def test_its_messages_can_be_read(api: Api) -> None:
    runs.internal(api, "calculator")
    run = execute(api, "calculator", args={"expression": "6*7"})
    messages = api.get(f"/runs/{run['id']}?include=messages").json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[-1]["content"] == '{"result": 42}'


def test_it_leaves_no_turn_in_a_session(api: Api, items: Callable[[], list[dict[str, Any]]]) -> None:
    runs.internal(api)
    execute(api, "echo")
    assert not [item for item in items() if "#SESSION#" in item["pk"]["S"]]


def test_a_failed_call_fails_the_run(api: Api, server: ToolServer) -> None:
    runs.webhook(api)
    server.then(httpx.Response(503, text="closed"))
    run = execute(api)
    assert (run["status"], run["stop_reason"], run["output_message"]) == ("failed", "tool_error", None)
    assert run["error_message"] == "http_503: The tool answered 503: closed"
    assert [called["status"] for called in run["tools_called"]] == ["failed"]
    assert runs.names(runs.events(api, run["id"]))[-2:] == ["tool.error", "error"]


@pytest.mark.parametrize(
    ("tool", "body", "code"),
    [
        ({"name": "teleport"}, {}, "not_implemented"),
        ({"name": "calculator"}, {}, "invalid_arguments"),
        ({"name": "calculator"}, {"args": {"expression": "1/0"}}, "invalid_arguments"),
        ({"name": "http_get"}, {"args": {"url": "https://tools.example/"}}, "host_not_allowed"),
        ({"name": "x", "endpoint": runs.ENDPOINT}, {"allowed_domains": ["other.example"]}, "host_not_allowed"),
        ({"name": "x", "endpoint": runs.ENDPOINT, "auth_type": "api_key"}, {}, "secret_missing"),
        ({"name": "x", "endpoint": runs.ENDPOINT, "auth_type": "api_key"}, {"secrets_ref": "NONE"}, "secret_missing"),
    ],
)
def test_the_guards_are_those_of_any_run(
    api: Api, server: ToolServer, tool: dict[str, Any], body: dict[str, Any], code: str
) -> None:
    api.make("/tools", **tool)
    run = execute(api, tool["name"], **body)
    assert (run["status"], run["error_message"].partition(":")[0]) == ("failed", code)
    assert server.requests == []


def test_a_domain_and_a_secret_can_be_named(
    api: Api, server: ToolServer, setting: Callable[[str, str | None], None]
) -> None:
    setting("SECRET_SHOP", "s3cr3t")
    runs.webhook(api, auth_type="api_key")
    server.then(lambda request: httpx.Response(200, json=dict(request.headers)))
    run = execute(api, secrets_ref="SHOP", allowed_domains=["Tools.Example."])
    assert server.requests[0].headers["authorization"] == "Bearer s3cr3t"
    assert "[secret]" in run["output_message"]
    assert "s3cr3t" not in str(runs.events(api, run["id"]))


@pytest.mark.parametrize(
    ("body", "default", "expected"),
    [({"timeout_ms": 1_234}, None, 1_234), ({}, None, 15_000), ({}, "2000", 2_000)],
)
def test_the_time_of_a_call(
    api: Api,
    server: ToolServer,
    monkeypatch: pytest.MonkeyPatch,
    setting: Callable[[str, str | None], None],
    stopped_clock: None,
    body: dict[str, Any],
    default: str | None,
    expected: int,
) -> None:
    given: list[int] = []
    send = http.send

    def measured(*args: Any, timeout_ms: int, **options: Any) -> http.HttpAnswer:
        given.append(timeout_ms)
        return send(*args, timeout_ms=timeout_ms, **options)

    monkeypatch.setattr(http, "send", measured)
    setting("TOOL_DEFAULT_TIMEOUT_MS", default)
    runs.webhook(api)
    execute(api, **body)
    assert given == [pytest.approx(expected, abs=1)]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"args": []}, "body.args"),
        ({"args": {"q": "x" * 70_000}}, "body.args"),
        ({"timeout_ms": 0}, "body.timeout_ms"),
        ({"timeout_ms": 60_001}, "body.timeout_ms"),
        ({"secrets_ref": "a b"}, "body.secrets_ref"),
        ({"allowed_domains": ["https://tools.example/"]}, "body.allowed_domains.0"),
        ({"permission_scope": "read"}, "body.permission_scope"),
        ({"test": True}, "body.test"),
    ],
)
@pytest.mark.parametrize("verb", ["execute", "test"])
def test_bodies_that_are_refused(api: Api, verb: str, body: dict[str, Any], place: str) -> None:
    runs.internal(api)
    answer = api.post(f"/tools/echo/{verb}", body)
    assert answer.status == 422
    assert ".".join(map(str, answer.json["errors"][0]["loc"])) == place
    assert api.get("/runs").json == []


def test_the_largest_arguments_fit_an_item(api: Api, server: ToolServer) -> None:
    """Escaped twice, a quote takes four characters."""
    runs.webhook(api, description="x" * 2_000, input_schema={"description": "y" * 16_000})
    run = execute(api, args={"q": '"' * 32_700})
    assert run["status"] == "succeeded"


@pytest.mark.parametrize("verb", ["execute", "test"])
def test_who_may_call(api: Api, server: ToolServer, verb: str) -> None:
    runs.webhook(api)
    for scopes in ("runs:execute", "tools:write", "runs:execute tools:read agents:write"):
        answer = api.as_(scopes=scopes).post(f"/tools/lookup/{verb}", {})
        assert (answer.status, answer.code) == (403, "scope_missing")
    assert server.requests == []
    assert api.as_(scopes="runs:execute tools:write").post(f"/tools/lookup/{verb}", {}).status == 201


@pytest.mark.parametrize("verb", ["execute", "test"])
def test_foreign_and_unknown_tools(api: Api, other: Api, server: ToolServer, verb: str) -> None:
    tool_id = runs.webhook(api)
    for ref in (tool_id, "lookup", "nobody"):
        answer = other.post(f"/tools/{ref}/{verb}", {})
        assert (answer.status, answer.code) == (404, "not_found")
    assert (server.requests, other.get("/runs").json) == ([], [])


def test_a_test_is_marked(api: Api) -> None:
    runs.internal(api)
    run = api.make("/tools/echo/test", args={"text": "hello"})
    assert (run["kind"], run["test"], run["status"]) == ("tool", True, "succeeded")
    assert api.get(f"/runs/{run['id']}").json["test"] is True


def test_a_deprecated_tool_can_be_tested_only(api: Api) -> None:
    runs.internal(api, status="deprecated")
    answer = api.post("/tools/echo/execute", {})
    assert (answer.status, answer.code) == (409, "tool_is_deprecated")
    assert api.make("/tools/echo/test")["status"] == "succeeded"
    api.post("/tools/echo/deploy")
    assert execute(api, "echo")["status"] == "succeeded"


def test_agents_keep_a_tool_that_is_deprecated(api: Api, model: Any, server: ToolServer) -> None:
    """To deprecate says: do not begin with it. What works goes on."""
    runs.agent(api, runs.webhook(api))
    api.patch("/tools/lookup", {"status": "deprecated"})
    model.asks({"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}).says("done")
    assert runs.start(api)["status"] == "succeeded"
    assert len(server.requests) == 1


def test_a_call_that_outlives_the_wait(api: Api, machine: Machine, server: ToolServer) -> None:
    runs.webhook(api)
    machine.waits = False
    answer = api.post("/tools/lookup/execute", {})
    assert (answer.status, answer.json["status"]) == (202, "running")
    assert answer.headers["location"] == f"/runs/{answer.json['id']}"
    machine.execute(machine.pointers[0])
    assert api.get(answer.headers["location"]).json["status"] == "succeeded"


def test_a_call_that_never_ends_is_timed_out(
    api: Api, machine: Machine, server: ToolServer, travel: Callable[[float], None]
) -> None:
    runs.webhook(api)
    machine.waits = False
    run = api.post("/tools/lookup/execute", {"timeout_ms": 1_000}).json
    travel(tool_runs._MARGIN_SECONDS + 20)
    ended = api.get(f"/runs/{run['id']}").json
    assert (ended["status"], ended["stop_reason"]) == ("timed_out", "max_seconds")
    machine.execute(machine.pointers[0])
    assert api.get(f"/runs/{run['id']}").json == ended
    assert server.requests == []


def test_no_accident(api: Api, faults: Faults, server: ToolServer) -> None:
    runs.webhook(api)
    faults.at(0, "before", lambda: None)
    begun = faults.writes
    execute(api)
    assert faults.writes - begun == WRITES


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, WRITES))
def test_worker_dies_around_a_write(
    api: Api, faults: Faults, server: ToolServer, number: int, moment: Moment, idempotent: bool
) -> None:
    """Whatever happens: one end, and a call that is not idempotent is sent at most once."""
    runs.webhook(api, idempotent=idempotent)
    faults.at(number, moment, die)
    run = execute(api)
    assert faults.happened == 1
    in_doubt = not idempotent and (number, moment) in {(1, "after"), (2, "before")}
    sent_before = number > 1
    assert len(server.requests) == (1 if not in_doubt else int(sent_before)) + (
        1 if idempotent and (number, moment) == (2, "before") else 0
    )
    if in_doubt:
        assert (run["status"], run["stop_reason"]) == ("failed", "tool_error")
        assert run["error_message"] == "unknown: It is unknown whether the call took effect."
    else:
        assert run["status"] == "succeeded"
    assert len({request.headers["idempotency-key"] for request in server.requests}) <= 1
    runs.events(api, run["id"])


def test_machine_that_runs_twice(api: Api, machine: Machine, server: ToolServer) -> None:
    runs.webhook(api)
    run = execute(api)
    machine.execute(machine.pointers[0])
    assert api.get(f"/runs/{run['id']}").json == run
    assert len(server.requests) == 1


def test_one_idempotency_key_is_one_call(api: Api, server: ToolServer) -> None:
    runs.webhook(api)
    headers = {"Idempotency-Key": "once"}
    first = api.post("/tools/lookup/execute", {"args": {"q": 1}}, headers=headers)
    second = api.post("/tools/lookup/execute", {"args": {"q": 1}}, headers=headers)
    assert (first.status, second.status) == (201, 201)
    assert first.json == second.json
    assert second.headers["idempotency-replayed"] == "true"
    assert api.post("/tools/lookup/execute", {"args": {"q": 2}}, headers=headers).status == 422
    assert len(server.requests) == 1


@pytest.mark.parametrize(("number", "moment", "started"), [(1, "before", 0), (1, "after", 0), (2, "after", 1)])
def test_request_that_dies_and_comes_again(
    api: Api,
    machine: Machine,
    faults: Faults,
    server: ToolServer,
    travel: Callable[[float], None],
    number: int,
    moment: Moment,
    started: int,
) -> None:
    """Its second try goes on with the same run: it starts the machine if the first did not get so far."""
    runs.webhook(api)
    headers = {"Idempotency-Key": "again"}

    def killed() -> None:
        raise KeyboardInterrupt

    faults.at(number, moment, die if started else killed)
    if started:
        first = api.post("/tools/lookup/execute", {}, headers=headers)
        assert first.status == 201
    else:
        with pytest.raises(KeyboardInterrupt):
            api.post("/tools/lookup/execute", {}, headers=headers)
    assert len(machine.pointers) == started
    travel(40)
    second = api.post("/tools/lookup/execute", {}, headers=headers)
    assert second.status == 201
    assert len(api.get("/runs").json) == 1
    assert len(server.requests) <= 1
