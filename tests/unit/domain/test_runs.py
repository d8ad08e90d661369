"""POST /runs from end to end: the handlers, the workers, the log. Only model, servers and machine are stand-ins."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.store import keys
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.usefixtures("machine")


@pytest.mark.covers("POST /runs")
def test_run_without_tools(api: Api, model: ScriptedModel) -> None:
    agent_id = runs.agent(api, system_prompt="Be kind.", role="a clerk", description="You sell tea.")
    model.says("Hello!")

    answer = api.post(
        "/runs",
        {"agent_id": agent_id, "input_message": "Hi", "metadata": {"ticket": 7}},
        headers={"X-Trace-Id": "trace-1"},
    )

    assert answer.status == 201
    run = answer.json
    assert answer.headers["location"] == f"/runs/{run['id']}"
    assert api.get(answer.headers["location"]).json == run
    expected = {
        "agent_id": agent_id,
        "agent_version": 1,
        "trace_id": "trace-1",
        "kind": "llm",
        "status": "succeeded",
        "stop_reason": "completed",
        "input_message": "Hi",
        "output_message": "Hello!",
        "error_message": None,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cost_usd": "0.0000045",
        "tools_called": [],
        "messages": None,
        "metadata": {"ticket": 7},
        "tenant_id": "tenant_a",
        "user_id": "user_1",
    }
    assert run == run | expected
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert "deadline_at" not in run
    assert model.requests == [
        {
            "model": "gpt-4o-mini",
            "messages": [
                {"role": "system", "content": "You are support, a clerk.\n\nYou sell tea.\n\nBe kind."},
                {"role": "user", "content": "Hi"},
            ],
        }
    ]
    assert model.keys == ["key-of-the-model-provider"]


@pytest.mark.covers("GET /runs/{run_id}/events")
def test_run_writes_a_log(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("Hello!")
    run = runs.start(api)
    events = runs.events(api, run["id"])
    assert runs.names(events) == ["start", "message.completed", "usage", "result"]
    assert runs.named(events, "start") == [
        {
            "run_id": run["id"],
            "trace_id": run["trace_id"],
            "agent_id": run["agent_id"],
            "agent_version": 1,
            "session_id": run["session_id"],
        }
    ]
    tokens = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    assert runs.named(events, "usage") == [{"step": 1} | tokens]
    assert runs.named(events, "result") == [{"output": "Hello!", "tokens": tokens}]


def test_one_tool_call(api: Api, model: ScriptedModel, server: ToolServer) -> None:
    schema = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}
    runs.agent(api, runs.webhook(api, description="Finds a product.", input_schema=schema))
    model.asks(call("lookup", {"sku": "a-1"}, id="c1")).says("It is in stock.")

    run = runs.start(api)

    assert run["output_message"] == "It is in stock."
    assert run["total_tokens"] == 30
    assert run["tools_called"] == [
        {
            "name": "lookup",
            "tool_call_id": "c1",
            "args": {"sku": "a-1"},
            "status": "succeeded",
            "duration_ms": run["tools_called"][0]["duration_ms"],
        }
    ]
    (request,) = server.requests
    assert (request.method, str(request.url)) == ("POST", runs.ENDPOINT)
    assert server.bodies() == [{"sku": "a-1"}]
    assert request.headers["idempotency-key"] == f"{run['id']}:c1"
    assert request.headers["x-trace-id"] == run["trace_id"]
    assert model.requests[0]["tools"] == [
        {
            "type": "function",
            "function": {"name": "lookup", "description": "Finds a product.", "parameters": schema},
        }
    ]
    assert model.requests[1]["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "lookup", "arguments": '{"sku": "a-1"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"ok":true}'},
    ]
    assert runs.names(runs.events(api, run["id"])) == [
        "start",
        "message.completed",
        "usage",
        "tool.started",
        "tool.completed",
        "message.completed",
        "usage",
        "result",
    ]


@pytest.mark.covers("GET /runs/{run_id}")
def test_messages_are_shown_on_request_only(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api), system_prompt="Be kind.")
    model.asks(call("echo", {"text": "x"}, id="c1"), content="Let me see.").says("x")
    run = runs.start(api)
    assert run["messages"] is None
    shown = api.get(f"/runs/{run['id']}?include=messages").json
    assert [message["role"] for message in shown["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert shown["messages"][:-1] == model.requests[1]["messages"]
    assert shown | {"messages": None} == run


def test_several_tools_at_once(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api, "echo"), runs.internal(api, "calculator"))
    model.asks(
        call("echo", {"text": "a"}, id="c1"),
        call("calculator", {"expression": "6*7"}, id="c2"),
        call("echo", {"text": "b"}, id="c3"),
    ).says("done")
    run = runs.start(api)
    assert machine.invoked == ["call_model", "call_tool", "call_tool", "call_tool", "call_model"]
    results = {message["tool_call_id"]: message["content"] for message in model.requests[1]["messages"][2:]}
    assert results == {"c1": '{"text": "a"}', "c2": '{"result": 42}', "c3": '{"text": "b"}'}
    assert [called["status"] for called in run["tools_called"]] == ["succeeded"] * 3


def test_tools_that_end_in_another_order_answer_in_the_order_asked(
    api: Api, machine: Machine, model: ScriptedModel
) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(*(call("echo", {"text": str(n)}, id=f"c{n}") for n in range(3))).says("done")
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    pointer = machine.pointers[0]
    asked = machine.invoke("call_model", pointer)
    assert asked == {"next": "tools", "tool_call_ids": ["c0", "c1", "c2"]}
    for tool_call_id in reversed(asked["tool_call_ids"]):
        machine.invoke("call_tool", pointer | {"tool_call_id": tool_call_id})
    machine.execute(pointer)
    assert [message["tool_call_id"] for message in model.requests[1]["messages"][2:]] == ["c0", "c1", "c2"]
    started = runs.named(runs.events(api, run["id"]), "tool.started")
    assert [data["tool_call_id"] for data in started] == ["c2", "c1", "c0"]


def test_several_rounds(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api, "calculator"))
    model.asks(call("calculator", {"expression": "1+1"}, id="c1"))
    model.asks(call("calculator", {"expression": "2*2"}, id="c2"))
    model.says("4")
    run = runs.start(api)
    assert [called["tool_call_id"] for called in run["tools_called"]] == ["c1", "c2"]
    assert run["total_tokens"] == 45


def test_parameters_and_provider_of_the_agent_reach_the_model(
    api: Api, model: ScriptedModel, setting: Callable[[str, str], None]
) -> None:
    setting("CUSTOM_BASE_URL", "https://models.example/v1")
    setting("CUSTOM_API_KEY", "custom-key")
    runs.agent(api, model="custom:tiny:7b", llm_params={"temperature": 0.5, "stop": ["END"]})
    model.says("ok")
    runs.start(api)
    (request,) = model.requests
    assert (request["model"], request["temperature"], request["stop"]) == ("tiny:7b", 0.5, ["END"])
    assert (model.urls, model.keys) == (["https://models.example/v1/chat/completions"], ["custom-key"])


def test_run_is_pinned_to_the_agent_as_it_was(api: Api, machine: Machine, model: ScriptedModel) -> None:
    agent_id = runs.agent(api, runs.internal(api), system_prompt="old")
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    api.patch(f"/agents/{agent_id}", {"system_prompt": "new", "model": "gpt-5"})
    assert api.delete("/tools/echo?force=true").status == 204
    model.asks(call("echo", {"text": "x"})).says("done")
    machine.execute(machine.pointers[0])
    assert model.requests[1]["messages"][0]["content"] == "old"
    assert model.requests[1]["model"] == "gpt-4o-mini"
    assert api.get(f"/runs/{run['id']}").json["tools_called"][0]["status"] == "succeeded"


def test_deleted_tool_is_left_out_of_later_runs(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api, "echo"), runs.internal(api, "calculator"))
    api.delete("/tools/echo?force=true")
    model.says("ok")
    runs.start(api)
    assert [tool["function"]["name"] for tool in model.requests[0]["tools"]] == ["calculator"]


def test_tools_whose_names_the_model_cannot_say(api: Api, model: ScriptedModel, server: ToolServer) -> None:
    spoken = [runs.webhook(api, name) for name in ("look up!", "look_up", "検索", "x" * 200)]
    runs.agent(api, *spoken)
    model.asks(call("look_up_2", {})).says("ok")
    run = runs.start(api)
    assert [tool["function"]["name"] for tool in model.requests[0]["tools"]] == [
        "look_up",
        "look_up_2",
        "tool",
        "x" * 60,
    ]
    assert run["tools_called"][0]["name"] == "look_up"


def test_run_that_outlives_the_wait_goes_on(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    machine.waits = False
    answer = api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    assert answer.status == 202
    assert answer.json["status"] == "running"
    assert answer.json["finished_at"] is None
    model.says("late")
    machine.execute(machine.pointers[0])
    assert api.get(answer.headers["location"]).json["output_message"] == "late"


def test_machine_that_ends_without_a_word_fails_the_run(
    api: Api, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.agent(api)
    monkeypatch.setattr(machine, "execute", lambda pointer: None)
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert runs.names(runs.events(api, run["id"])) == ["start", "error"]


def test_draft_agent_is_run_by_its_editors_only(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, status="draft")
    body = {"agent_id": "support", "input_message": "Hi"}
    refused = api.as_(scopes="runs:execute agents:read").post("/runs", body)
    assert (refused.status, refused.code) == (403, "agent_is_draft")
    model.says("ok")
    assert api.as_(scopes="runs:execute agents:write").post("/runs", body).status == 201


def test_published_agent_is_run_by_who_may_execute(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("ok")
    answer = api.as_(scopes="runs:execute").post("/runs", {"agent_id": "support", "input_message": "Hi"})
    assert answer.status == 201


@pytest.mark.parametrize("ref", ["nobody", "01900000-0000-7000-8000-000000000000", "../support", "support#1"])
def test_unknown_agent(api: Api, ref: str) -> None:
    runs.agent(api)
    assert api.post("/runs", {"agent_id": ref, "input_message": "Hi"}).status == 404
    assert api.get("/runs").json == []


def test_agent_of_another_tenant_is_unknown(api: Api, other: Api) -> None:
    agent_id = runs.agent(api)
    for ref in (agent_id, "support"):
        assert other.post("/runs", {"agent_id": ref, "input_message": "Hi"}).status == 404


def test_run_of_another_tenant_is_unknown(api: Api, other: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("ok")
    run = runs.start(api)
    for path in (f"/runs/{run['id']}", f"/runs/{run['id']}?include=messages", f"/runs/{run['id']}/events"):
        assert other.get(path).status == 404
    assert other.get("/runs").json == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "agent_id"),
        ({"input_message": ""}, "input_message"),
        ({"input_message": "x" * 100_001}, "input_message"),
        ({"input_message": "ü" * 50_001}, "input_message"),
        ({"session_id": "a b"}, "session_id"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": "x" * 65}, "session_id"),
        ({"limits": {"max_steps": 0}}, "max_steps"),
        ({"limits": {"max_steps": 51}}, "max_steps"),
        ({"limits": {"max_tokens": 0}}, "max_tokens"),
        ({"limits": {"max_seconds": 291}}, "max_seconds"),
        ({"limits": {"max_euros": 1}}, "max_euros"),
        ({"metadata": {"x": "y" * 5_000}}, "metadata"),
        ({"tenant_id": "tenant_b"}, "tenant_id"),
    ],
)
def test_bad_requests(api: Api, body: dict[str, Any], field: str) -> None:
    given = {"agent_id": "support", "input_message": "Hi"} | body if body else {}
    answer = api.post("/runs", given)
    assert answer.status == 422
    assert field in [error["loc"][-1] for error in answer.json["errors"]]


@pytest.mark.parametrize(
    ("character", "most"),
    [("x", 100_000), ("\U0001f600", 25_000), ('"', 50_000), ("\x01", 16_666)],
)
def test_longest_message_fits_into_the_table(api: Api, model: ScriptedModel, character: str, most: int) -> None:
    """A message has 100,000 bytes as JSON, which is how the table keeps it: some characters take two, or six."""
    runs.agent(api, system_prompt="x" * 32_000)
    body = {"agent_id": "support", "input_message": character * (most + 1)}
    assert api.post("/runs", body).status == 422
    body["input_message"] = character * most
    model.says(character * (most - 10))
    run = api.make("/runs", **body)
    assert (run["status"], run["output_message"]) == ("succeeded", character * (most - 10))
    assert api.get(f"/runs/{run['id']}?include=messages").json["input_message"] == body["input_message"]


def test_agent_and_tools_larger_than_a_run_can_carry(api: Api, store: TenantStore) -> None:
    wide = {"type": "object", "properties": {"x": {"type": "string", "description": "y" * 16_000}}}
    tool = api.make("/tools", name="wide", input_schema=wide)
    runs.agent(api, *runs.copies(store, tool, 19))
    answer = api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    assert (answer.status, answer.code) == (422, "plan_too_large")
    assert api.get("/runs").json == []


@pytest.mark.covers("GET /runs")
def test_list_shows_the_newest_run_first(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    made = []
    for n in range(3):
        model.says(str(n))
        made.append(runs.start(api)["id"])
    assert [run["id"] for run in api.get("/runs").json] == made[::-1]


def test_input_of_a_run_stands_in_one_partition_of_its_tenant(
    api: Api, model: ScriptedModel, items: Callable[[], list[dict[str, Any]]]
) -> None:
    runs.agent(api)
    model.says("ok")
    runs.start(api, "a-rare-word")
    holders = {item["pk"]["S"].split("#")[1] for item in items() if "a-rare-word" in str(item)}
    assert holders == {"tenant_a"}


def test_start_is_refused_before_anything_is_written(api: Api, store: TenantStore) -> None:
    runs.agent(api)
    assert api.as_(scopes="runs:read").post("/runs", {"agent_id": "support", "input_message": "Hi"}).status == 403
    assert store.query(keys.RUNS, limit=None).items == []
