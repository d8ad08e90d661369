"""The client of the model: one for each provider, without retries of its own."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.clients import llm
from shared.errors import ModelRejected, ModelUnavailable
from tests.unit.support.model import ScriptedModel, completion


def message(**fields: Any) -> dict[str, Any]:
    """A completion whose message is this."""
    return completion(None, choices=[{"index": 0, "message": fields}])


def ask(**changed: object) -> llm.Reply:
    given: dict[str, object] = {"tools": [], "params": {}, "timeout_s": 5.0} | changed
    return llm.chat("openai", "gpt-5", [{"role": "user", "content": "Hi"}], **given)  # type: ignore[arg-type]


def test_machine_repeats_not_the_sdk(model: ScriptedModel) -> None:
    ask_client = llm._client("https://models.example/v1", "key")
    assert ask_client.max_retries == 0
    assert llm._client("https://models.example/v1", "key") is ask_client


def test_tools_are_left_out_if_there_are_none(model: ScriptedModel) -> None:
    model.says("ok").says("ok")
    ask()
    ask(tools=[{"type": "function", "function": {"name": "x"}}], params={"seed": 7})
    assert "tools" not in model.requests[0]
    assert (model.requests[1]["seed"], len(model.requests[1]["tools"])) == (7, 1)


def test_calls_of_another_kind_are_passed_over(model: ScriptedModel) -> None:
    custom = {"id": "c1", "type": "custom", "custom": {"name": "x", "input": "y"}}
    model.asks(custom, content="text")
    assert ask() == llm.Reply("text", [], 10, 5)


def test_provider_is_asked_where_the_setting_says(
    model: ScriptedModel, setting: Callable[[str, str | None], None]
) -> None:
    setting("OPENAI_BASE_URL", "https://proxy.example/v2/")
    model.says("ok")
    ask()
    assert model.urls == ["https://proxy.example/v2/chat/completions"]


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_failures_in_passing(model: ScriptedModel, status: int) -> None:
    model.fails(status)
    with pytest.raises(ModelUnavailable):
        ask()


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 413, 415, 422, 451])
def test_refusals(model: ScriptedModel, status: int) -> None:
    model.fails(status)
    with pytest.raises(ModelRejected):
        ask()


@pytest.mark.parametrize("body", ["", "no", [], {}, {"error": None}, {"error": "no"}, {"error": {"message": None}}])
def test_refusals_of_any_form(model: ScriptedModel, body: Any) -> None:
    model.answers(body, 400)
    with pytest.raises(ModelRejected):
        ask()


@pytest.mark.parametrize(
    "body",
    [
        "<html>busy</html>",
        "",
        "[]",
        [],
        {},
        {"error": "no"},
        completion(None, choices=None),
        completion(None, choices=[]),
        completion(None, choices="x"),
        completion(None, choices={"0": {}}),
        completion(None, choices=[None]),
        completion(None, choices=[{"index": 0}]),
        completion(None, choices=[{"index": 0, "message": None}]),
        message(content={"text": "x"}),
        message(content=["x"]),
        message(content=7),
        message(tool_calls="x"),
        message(tool_calls=[None]),
        message(tool_calls=[{"type": "function"}]),
        message(tool_calls=[{"id": "c1", "type": "function", "function": None}]),
        message(tool_calls=[{"id": "c1", "type": "function", "function": {"name": "echo", "arguments": {"a": 1}}}]),
        message(tool_calls=[{"id": 7, "type": "function", "function": {"name": "echo", "arguments": "{}"}}]),
    ],
)
def test_answers_that_are_no_completion(model: ScriptedModel, body: Any) -> None:
    model.answers(body)
    with pytest.raises(ModelUnavailable):
        ask()


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, (None, None)),
        ({}, (None, None)),
        ("many", (None, None)),
        ({"prompt_tokens": 10, "completion_tokens": None}, (10, None)),
        ({"prompt_tokens": None, "completion_tokens": 5}, (None, 5)),
        ({"prompt_tokens": "10", "completion_tokens": "5"}, (None, None)),
        ({"prompt_tokens": -1, "completion_tokens": 5}, (None, 5)),
        ({"prompt_tokens": 1.5, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": {"a": 1}, "completion_tokens": [5]}, (None, None)),
    ],
)
def test_counts_are_numbers_or_none(model: ScriptedModel, usage: Any, counted: tuple[int | None, int | None]) -> None:
    model.answers(completion("ok") | {"usage": usage})
    reply = ask()
    assert (reply.prompt_tokens, reply.completion_tokens) == counted
