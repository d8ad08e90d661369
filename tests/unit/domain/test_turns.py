"""What the model may do to a run: answer, ask, fail, talk nonsense, never stop."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, as_json, call, completion

pytestmark = pytest.mark.usefixtures("machine")


@pytest.mark.parametrize("status", [408, 429, 500, 529])
def test_model_that_fails_in_passing_is_asked_again(
    api: Api, machine: Machine, model: ScriptedModel, status: int
) -> None:
    runs.agent(api)
    model.fails(status).says("ok")
    assert runs.start(api)["status"] == "succeeded"
    assert machine.invoked == ["call_model", "call_model"]


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ReadTimeout, httpx2.ReadError])
def test_model_that_does_not_answer_is_asked_again(
    api: Api, model: ScriptedModel, error: type[httpx2.TransportError]
) -> None:
    runs.agent(api)
    model.breaks(error).says("ok")
    assert runs.start(api)["status"] == "succeeded"


def test_model_that_goes_on_failing_ends_the_run(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    for _ in range(4):
        model.fails(429)
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "model_unavailable")
    assert run["error_message"] == "The model provider answered 429."
    assert machine.invoked == ["call_model"] * 4 + ["fail_run"]
    assert runs.named(runs.events(api, run["id"]), "error") == [
        {"error": run["error_message"], "status": "failed", "stop_reason": "model_unavailable"}
    ]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_model_that_refuses_is_not_asked_again(api: Api, machine: Machine, model: ScriptedModel, status: int) -> None:
    runs.agent(api)
    model.fails(status, "Incorrect API key provided: key-of-the-model-provider")
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "model_rejected")
    assert machine.invoked == ["call_model", "fail_run"]
    assert "key-of-the-model-provider" not in str(run)


def test_unknown_model_is_named(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, model="openai:gpt-0")
    model.fails(404, "The model `gpt-0` does not exist \ud800")
    error = runs.start(api)["error_message"]
    assert error == "The model provider refused the request for 'gpt-0' (404): The model `gpt-0` does not exist ?"


def test_no_key_for_the_provider(api: Api, model: ScriptedModel, setting: Callable[[str, str | None], None]) -> None:
    setting("OPENAI_API_KEY", None)
    runs.agent(api)
    run = runs.start(api)
    assert (run["stop_reason"], model.requests) == ("model_rejected", [])
    assert run["error_message"] == "This deployment has no key for the model provider 'openai'."


def test_provider_that_the_deployment_no_longer_knows(api: Api, setting: Callable[[str, str | None], None]) -> None:
    setting("CUSTOM_BASE_URL", "https://models.example/v1")
    runs.agent(api, model="custom:tiny")
    setting("CUSTOM_BASE_URL", None)
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "model_rejected")


def test_malformed_answer_is_like_none(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.answers("<html>busy</html>").answers(completion(None, choices=[])).says("ok")
    assert runs.start(api)["status"] == "succeeded"


def test_counts_are_null_if_the_provider_gives_none(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.answers(completion("ok") | {"usage": {"prompt_tokens": "10", "completion_tokens": "5"}})
    run = runs.start(api)
    assert (run["status"], run["output_message"]) == ("succeeded", "ok")
    assert (run["prompt_tokens"], run["completion_tokens"], run["total_tokens"]) == (None, None, None)


def test_counts_without_completion_tokens(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("ok", usage={"prompt_tokens": 10, "completion_tokens": None})
    assert runs.start(api)["total_tokens"] == 10


@pytest.mark.parametrize("content", [None, ""])
def test_answer_without_a_word(api: Api, model: ScriptedModel, content: str | None) -> None:
    runs.agent(api)
    model.says(content)
    run = runs.start(api)
    assert (run["status"], run["output_message"]) == ("succeeded", "")


def test_half_a_character_of_the_model_is_replaced(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("a\ud800b")
    assert runs.start(api)["output_message"] == "a?b"


def test_unusable_call_ids_are_replaced(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    hostile = ["", " ", "x" * 101, "../../etc", "a b", "a\nb", "ü", "a#b", "\ud800", "call_1; DROP"]
    model.asks(*(call("echo", {"text": "x"}) | {"id": each} for each in hostile)).says("ok")
    run = runs.start(api)
    ours = [f"call_2_{n}" for n in range(len(hostile))]
    assert [called["tool_call_id"] for called in run["tools_called"]] == ours
    assert [each["tool_call_id"] for each in model.requests[1]["messages"][2:]] == ours


def test_call_ids_that_come_twice_are_told_apart(api: Api, model: ScriptedModel) -> None:
    """Some providers count their calls from zero in every answer."""
    runs.agent(api, runs.internal(api))
    twice = [call("echo", {"text": text}, id="call_0") for text in ("a", "b")]
    model.asks(*twice).asks(call("echo", {"text": "c"}, id="call_0")).says("ok")
    run = runs.start(api)
    assert [called["args"]["text"] for called in run["tools_called"]] == ["a", "b", "c"]
    assert len({called["tool_call_id"] for called in run["tools_called"]}) == 3
    results = [each["content"] for each in model.requests[2]["messages"] if each["role"] == "tool"]
    assert results == ['{"text": "a"}', '{"text": "b"}', '{"text": "c"}']


@pytest.mark.parametrize("ids", [["call_2_1", ""], ["", "call_2_0"], ["call_2_1", "call_2_1", "call_2_1"]])
def test_call_ids_that_look_like_ours_are_told_apart(api: Api, model: ScriptedModel, ids: list[str]) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(*(call("echo", {"text": str(n)}) | {"id": given} for n, given in enumerate(ids))).says("ok")
    called = runs.start(api)["tools_called"]
    assert len({each["tool_call_id"] for each in called}) == len(ids)
    assert [each["args"]["text"] for each in called] == [str(n) for n in range(len(ids))]


def test_steps_are_limited(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    for n in range(3):
        model.asks(call("echo", {"text": "x"}, id=f"c{n}"))
    run = runs.start(api, limits={"max_steps": 3})
    assert (run["status"], run["stop_reason"]) == ("failed", "max_steps")
    assert len(run["tools_called"]) == 3
    assert run["total_tokens"] == 45


@pytest.mark.parametrize("most", [16, 30])
def test_tokens_are_limited(api: Api, model: ScriptedModel, most: int) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo", {"text": "x"}, id="c1")).asks(call("echo", {"text": "x"}, id="c2"))
    run = runs.start(api, limits={"max_tokens": most})
    assert (run["status"], run["stop_reason"]) == ("failed", "max_tokens")
    assert run["error_message"] == f"max_tokens: the run used 30 of {most} tokens."


def test_answer_at_the_limit_of_steps_counts(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo", {"text": "x"}, id="c1")).says("ok")
    assert runs.start(api, limits={"max_steps": 2, "max_tokens": 16})["status"] == "succeeded"


def test_seconds_are_limited(api: Api, model: ScriptedModel, travel: Callable[[float], None]) -> None:
    def slow(request: dict[str, Any]) -> httpx2.Response:
        travel(31)
        return as_json(completion(None, call("echo", {"text": "x"}, id="c1")))

    runs.agent(api, runs.internal(api))
    model.does(slow)
    run = runs.start(api, limits={"max_seconds": 30})
    assert (run["status"], run["stop_reason"]) == ("timed_out", "max_seconds")
    assert run["tools_called"][0]["status"] == "failed"
    (failed,) = runs.named(runs.events(api, run["id"]), "tool.error")
    assert failed["code"] == "timeout"


@pytest.mark.parametrize(
    "said",
    [completion("x" * 100_001), completion("\x01" * 17_000), completion(None, call("echo", {"text": "x" * 100_000}))],
)
def test_answer_larger_than_a_run_can_carry(api: Api, model: ScriptedModel, said: dict[str, Any]) -> None:
    runs.agent(api, runs.internal(api))
    model.answers(said)
    run = runs.start(api)
    assert (run["status"], run["stop_reason"]) == ("failed", "max_tokens")


def test_more_calls_than_one_answer_may_ask_for(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(*(call("echo", {"text": "x"}, id=f"c{n}") for n in range(41)))
    run = runs.start(api)
    assert (run["status"], run["tools_called"]) == ("failed", [])


def test_faster_copy_of_the_worker_wins_with_its_calls(api: Api, machine: Machine, model: ScriptedModel) -> None:
    """Two copies of one worker ask the model; the second finds the log taken, and goes on with what stands there."""
    runs.agent(api, runs.internal(api))
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    pointer = machine.pointers[0]

    def overtaken(request: dict[str, Any]) -> httpx2.Response:
        machine.invoke("call_model", pointer)
        return as_json(completion(None, call("echo", {"text": "mine"}, id="slow")))

    model.does(overtaken).asks(call("echo", {"text": "theirs"}, id="fast"))
    assert machine.invoke("call_model", pointer) == {"next": "tool", "tool_call_ids": ["fast"]}
    model.says("ok")
    machine.execute(pointer)
    ended = api.get(f"/runs/{run['id']}").json
    assert [called["tool_call_id"] for called in ended["tools_called"]] == ["fast"]
    assert runs.names(runs.events(api, run["id"])).count("message.completed") == 2


def test_faster_copy_that_asks_wins_over_an_answer(api: Api, machine: Machine, model: ScriptedModel) -> None:
    """As above, but the slow copy got the final answer: it must not end a run whose calls are under way."""
    runs.agent(api, runs.internal(api))
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    pointer = machine.pointers[0]

    def overtaken(request: dict[str, Any]) -> httpx2.Response:
        machine.invoke("call_model", pointer)
        return as_json(completion("slow"))

    model.does(overtaken).asks(call("echo", {"text": "theirs"}, id="fast"))
    assert machine.invoke("call_model", pointer) == {"next": "tool", "tool_call_ids": ["fast"]}
    assert api.get(f"/runs/{run['id']}").json["status"] == "running"
    model.says("fast")
    machine.execute(pointer)
    assert api.get(f"/runs/{run['id']}").json["output_message"] == "fast"
    assert runs.names(runs.events(api, run["id"])).count("message.completed") == 2


def test_faster_copy_that_ends_the_run_wins(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    pointer = machine.pointers[0]

    def overtaken(request: dict[str, Any]) -> httpx2.Response:
        machine.invoke("call_model", pointer)
        return as_json(completion("slow"))

    model.does(overtaken).says("fast")
    assert machine.invoke("call_model", pointer)["next"] == "done"
    assert api.get(f"/runs/{run['id']}").json["output_message"] == "fast"
    assert runs.names(runs.events(api, run["id"])) == ["start", "message.completed", "usage", "result"]


def test_worker_without_a_run(machine: Machine) -> None:
    with pytest.raises(Exception, match="RunCancelled"):
        machine.invoke("call_model", {"tenant_id": "tenant_a", "run_id": "no-such-run"})


def test_worker_of_another_tenant_finds_no_run(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("ok")
    run = runs.start(api)
    with pytest.raises(Exception, match="RunCancelled"):
        machine.invoke("call_model", {"tenant_id": "tenant_b", "run_id": run["id"]})
