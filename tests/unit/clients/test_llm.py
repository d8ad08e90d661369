"""The client of the model: one for each provider, without retries of its own."""

from collections.abc import Callable

from shared.clients import llm
from tests.unit.support.model import ScriptedModel


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
