"""Runs through the real machine: what tools and models may do to a run, and what they may not."""

import itertools
from typing import Any

import httpx
import pytest

from tests.integration.neighbours import MODEL, Neighbours, asks, milliseconds_for, says

_number = itertools.count()


@pytest.fixture
def stage(api: httpx.Client, neighbours: Neighbours) -> "Stage":
    return Stage(api, neighbours)


class Stage:
    """Makes agents with tools and a script, and runs them."""

    def __init__(self, api: httpx.Client, neighbours: Neighbours) -> None:
        self.api, self.neighbours = api, neighbours

    def tool(self, path: str, **fields: Any) -> str:
        """A webhook tool at a path of the neighbours; its name."""
        name = f"tool_{next(_number)}"
        made = self.api.post("/tools", json={"name": name, "endpoint": f"{self.neighbours.url}{path}", **fields})
        assert made.status_code == 201, made.text
        return name

    def agent(self, script: list[Any], *tools: str, binding: dict[str, Any] | None = None, **fields: Any) -> str:
        """An agent whose model follows the script; its name."""
        name = f"agent_{next(_number)}"
        self.neighbours.script[name] = script
        made = self.api.post("/agents", json={"name": name, "model": f"custom:{name}", **fields})
        assert made.status_code == 201, made.text
        for tool in tools:
            assert self.api.post(f"/agents/{name}/tools/{tool}", json=binding or {}).status_code == 201
        return name

    def run(self, agent: str, message: str = "go", **fields: Any) -> dict[str, Any]:
        answer = self.api.post("/runs", json={"agent_id": agent, "input_message": message, **fields})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def events(self, run: dict[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get(f"/runs/{run['id']}/events", params={"limit": 100}).json()
        return found


def outcome(stage: Stage, run: dict[str, Any]) -> tuple[str, str]:
    """Status and error code of a run's only tool call."""
    (called,) = run["tools_called"]
    errors = [event["data"]["code"] for event in stage.events(run) if event["event"] == "tool.error"]
    return called["status"], errors[0] if errors else ""


@pytest.mark.covers("POST /runs")
def test_a_tool_is_called_with_its_arguments_trace_and_idempotency_key(stage: Stage) -> None:
    tool = stage.tool("/tool/echo")
    run = stage.run(stage.agent([asks((tool, {"text": "hello"})), says("done")], tool))
    assert (run["status"], run["output_message"], run["total_tokens"]) == ("succeeded", "done", 30)
    headers, body = stage.neighbours.seen["/tool/echo"][-1]
    assert body == {"text": "hello"}
    assert headers["idempotency-key"] == f"{run['id']}:call_1"
    assert headers["x-trace-id"] == run["trace_id"]


@pytest.mark.covers("GET /runs/{run_id}/events")
def test_events_are_numbered_without_gaps_and_end_once(stage: Stage) -> None:
    tool = stage.tool("/tool/echo")
    run = stage.run(stage.agent([asks((tool, {}), (tool, {}), (tool, {})), says("done")], tool))
    events = stage.events(run)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    names = [event["event"] for event in events]
    assert names[0] == "start"
    assert names[-1] == "result"
    assert names.count("tool.completed") == 3
    assert sum(name in {"result", "error", "cancelled"} for name in names) == 1
    for after in range(len(events)):
        rest = stage.api.get(f"/runs/{run['id']}/events", params={"after": after, "limit": 100}).json()
        assert rest == events[after:]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/tool/hang", "timeout"),
        ("/tool/huge", "answer_too_large"),
        ("/tool/redirect", "redirect_refused"),
        ("/tool/broken", "http_500"),
    ],
)
def test_a_tool_that_misbehaves_fails_its_call_and_not_the_run(stage: Stage, path: str, code: str) -> None:
    tool = stage.tool(path)
    binding = {"timeout_ms": milliseconds_for(code)}
    agent = stage.agent([asks((tool, {})), says("I could not")], tool, binding=binding)
    run = stage.run(agent)
    assert (run["status"], run["output_message"]) == ("succeeded", "I could not")
    assert outcome(stage, run) == ("failed", code)


@pytest.mark.parametrize(
    "endpoint",
    ["http://169.254.169.254/latest/meta-data/", "http://[::1]:22222/", "http://127.0.0.1:8080/", "http://10.0.0.1/"],
)
def test_a_tool_cannot_reach_into_the_house(stage: Stage, endpoint: str) -> None:
    name = f"tool_{next(_number)}"
    assert stage.api.post("/tools", json={"name": name, "endpoint": endpoint}).status_code == 201
    run = stage.run(stage.agent([asks((name, {})), says("no")], name))
    assert run["status"] == "succeeded"
    assert outcome(stage, run) == ("failed", "address_blocked")


def test_a_host_outside_the_binding_is_refused(stage: Stage) -> None:
    tool = stage.tool("/tool/echo")
    before = stage.neighbours.calls("/tool/echo")
    agent = stage.agent([asks((tool, {})), says("no")], tool, binding={"allowed_domains": ["example.com"]})
    assert outcome(stage, stage.run(agent)) == ("failed", "host_not_allowed")
    assert stage.neighbours.calls("/tool/echo") == before


def test_only_an_idempotent_tool_is_tried_again(stage: Stage) -> None:
    once = stage.tool("/tool/flaky/once")
    again = stage.tool("/tool/flaky/again", idempotent=True)
    run = stage.run(stage.agent([asks((once, {})), says("no")], once))
    assert outcome(stage, run) == ("failed", "http_503")
    run = stage.run(stage.agent([asks((again, {})), says("yes")], again))
    assert outcome(stage, run) == ("succeeded", "")
    assert stage.neighbours.calls("/tool/flaky/once") == 1
    assert stage.neighbours.calls("/tool/flaky/again") == 2


def test_a_secret_reaches_the_tool_and_nothing_else(stage: Stage) -> None:
    tool = stage.tool("/tool/headers", auth_type="api_key", auth_config={"header": "X-Token"})
    agent = stage.agent([asks((tool, {})), says("done")], tool, binding={"secrets_ref": "DEMO_TOKEN"})
    run = stage.run(agent)
    assert outcome(stage, run) == ("succeeded", "")
    headers, _ = stage.neighbours.seen["/tool/headers"][-1]
    assert headers["x-token"] == "s3cr3t-value-of-the-tool"
    told = stage.api.get(f"/runs/{run['id']}", params={"include": "messages"}).text + str(stage.events(run))
    assert "s3cr3t-value" not in told
    assert "[secret]" in told


def test_secrets_of_the_platform_cannot_be_named(stage: Stage) -> None:
    tool = stage.tool("/tool/headers", auth_type="api_key")
    agent = stage.agent([asks((tool, {})), says("no")], tool, binding={"secrets_ref": "AWS_SECRET_ACCESS_KEY"})
    assert outcome(stage, stage.run(agent)) == ("failed", "secret_missing")


def test_arguments_are_checked_against_the_schema(stage: Stage) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = stage.tool("/tool/echo", input_schema=schema)
    before = stage.neighbours.calls("/tool/echo")
    run = stage.run(stage.agent([asks((tool, {"n": "many"})), says("no")], tool))
    assert outcome(stage, run) == ("failed", "invalid_arguments")
    assert stage.neighbours.calls("/tool/echo") == before


def test_an_unknown_tool_is_a_failed_call(stage: Stage) -> None:
    run = stage.run(stage.agent([asks(("nowhere", {})), says("no")]))
    assert (run["status"], *outcome(stage, run)) == ("succeeded", "failed", "unknown_tool")


def test_a_model_that_fails_in_passing_is_asked_again_by_the_machine(stage: Stage) -> None:
    run = stage.run(stage.agent([429, 503, says("at last")]))
    assert (run["status"], run["output_message"]) == ("succeeded", "at last")


@pytest.mark.parametrize(("script", "reason"), [([400], "model_rejected"), ([401], "model_rejected")])
def test_a_model_that_refuses_ends_the_run(stage: Stage, script: list[Any], reason: str) -> None:
    run = stage.run(stage.agent(script))
    assert (run["status"], run["stop_reason"], run["output_message"]) == ("failed", reason, None)
    assert "scripted" not in (run["error_message"] if script == [401] else "")
    assert stage.events(run)[-1]["event"] == "error"


def test_an_unknown_model_of_the_provider_ends_the_run_with_its_words(stage: Stage) -> None:
    name = f"agent_{next(_number)}"
    stage.api.post("/agents", json={"name": name, "model": "openai:no-such-model"})
    run = stage.run(name)
    assert (run["status"], run["stop_reason"]) == ("failed", "model_rejected")
    assert "no-such-model" in run["error_message"]


@pytest.mark.parametrize(
    ("limits", "status", "reason"),
    [({"max_steps": 2}, "failed", "max_steps"), ({"max_tokens": 20}, "failed", "max_tokens")],
)
def test_limits_end_a_run_that_does_not_stop_by_itself(
    stage: Stage, limits: dict[str, int], status: str, reason: str
) -> None:
    tool = stage.tool("/tool/echo")
    run = stage.run(stage.agent([asks((tool, {}), first=n) for n in range(9)], tool), limits=limits)
    assert (run["status"], run["stop_reason"]) == (status, reason)
    assert len([event for event in stage.events(run) if event["event"] == "message.completed"]) == 2


def test_time_is_a_limit_too(stage: Stage) -> None:
    tool = stage.tool("/tool/echo")
    script = [asks((tool, {}), first=n) | {"delay": 0.4} for n in range(9)]
    run = stage.run(stage.agent(script, tool), limits={"max_seconds": 1})
    assert (run["status"], run["stop_reason"]) in {("timed_out", "max_seconds"), ("failed", "model_unavailable")}


def test_a_session_carries_the_conversation(stage: Stage) -> None:
    agent = stage.agent([says("Hello Ada"), says("You are Ada")])
    first = stage.run(agent, "I am Ada")
    second = stage.run(agent, "Who am I?", session_id=first["session_id"])
    assert second["session_id"] == first["session_id"]
    _, body = stage.neighbours.seen[MODEL][-1]
    assert [(message["role"], message["content"]) for message in body["messages"]] == [
        ("user", "I am Ada"),
        ("assistant", "Hello Ada"),
        ("user", "Who am I?"),
    ]


def test_several_tools_run_side_by_side(stage: Stage) -> None:
    """None answers before all are called."""
    tools = [stage.tool("/tool/together/4") for _ in range(4)]
    run = stage.run(stage.agent([asks(*((tool, {}) for tool in tools)), says("done")], *tools))
    assert [called["status"] for called in run["tools_called"]] == ["succeeded"] * 4


def test_a_run_is_replayed_by_its_idempotency_key(stage: Stage) -> None:
    agent = stage.agent([says("once")])
    task = {"agent_id": agent, "input_message": "go"}
    headers = {"Idempotency-Key": f"run-{next(_number)}"}
    first = stage.api.post("/runs", json=task, headers=headers)
    second = stage.api.post("/runs", json=task, headers=headers)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"


def test_write_tools_need_the_scope_of_whoever_runs(stage: Stage, platform: Any) -> None:
    tool = stage.tool("/tool/echo")
    agent = stage.agent([asks((tool, {})), says("no")], tool, binding={"permission_scope": "write"}, status="published")
    made = stage.api.post("/api-keys", json={"scopes": ["runs:execute", "runs:read"]})
    before = stage.neighbours.calls("/tool/echo")
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": made.json()["key"]}, timeout=30) as user:
        run = user.post("/runs", json={"agent_id": agent, "input_message": "go"}).json()
    assert outcome(stage, run) == ("failed", "permission_denied")
    assert stage.neighbours.calls("/tool/echo") == before
