"""A chat completion as it is made: piece by piece, whatever the provider does."""

import json
import threading
from collections.abc import Generator
from typing import Any

import httpx2
import pytest

from shared.clients import llm
from shared.clients.llm_replies import Asked, Reply
from shared.errors import ModelRejected, ModelUnavailable
from tests.unit.support.busy import in_time
from tests.unit.support.model import Pieces, ScriptedModel, call, completion, piece


def ask(**changed: Any) -> Generator[str | Reply | None, None, None]:
    given: dict[str, Any] = {"tools": [], "params": {}, "timeout_s": 5.0, "tick_s": 5.0, "max_bytes": 10_000} | changed
    return llm.stream("openai", "gpt-5", [{"role": "user", "content": "Hi"}], **given)


def fragment(index: int | None, arguments: str = "", id: str | None = None, name: str | None = None) -> dict[str, Any]:  # noqa: A002
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def reply_to(model: ScriptedModel, *chunks: Any) -> Reply:
    """The reply that these chunks amount to."""
    model.tells(chunks)
    *_, reply = ask()
    assert isinstance(reply, Reply)
    return reply


def test_pieces_then_the_whole(model: ScriptedModel) -> None:
    model.streams("Good ", "", "mor", "ning")
    assert list(ask()) == ["Good ", "mor", "ning", Reply("Good morning", [], 10, 5)]
    (request,) = model.requests
    assert (request["stream"], request["stream_options"]) == (True, {"include_usage": True})


def test_the_request_is_that_of_a_whole_completion(model: ScriptedModel) -> None:
    options: dict[str, Any] = {"tools": [{"type": "function", "function": {"name": "x"}}], "params": {"seed": 7}}
    model.streams("a").closed  # noqa: B018 - only the script matters
    model.says("a")
    list(ask(**options))
    llm.chat("openai", "gpt-5", [{"role": "user", "content": "Hi"}], timeout_s=5.0, **options)
    streamed, whole = model.requests
    assert whole == {name: value for name, value in streamed.items() if name not in {"stream", "stream_options"}}


def test_calls_are_put_together_from_their_fragments(model: ScriptedModel) -> None:
    reply = reply_to(
        model,
        piece("Let me see. "),
        piece(None, fragment(0, id="c1", name="one")),
        piece(None, fragment(1, '{"b"', id="c2", name="two"), fragment(0, '{"a')),
        piece(None, fragment(0, '": 1}'), fragment(1, ": 2}")),
        piece(finish="tool_calls"),
    )
    assert reply == Reply("Let me see. ", [Asked("c1", "one", '{"a": 1}'), Asked("c2", "two", '{"b": 2}')], None, None)


@pytest.mark.parametrize("index", [0, None])
def test_providers_that_do_not_count_their_calls(model: ScriptedModel, index: int | None) -> None:
    first, second = fragment(index, "{}", id="c1", name="one"), fragment(index, "", id="c2", name="two")
    rest = fragment(index, "{ }", name="two")
    reply = reply_to(model, piece(None, first), piece(None, second), piece(None, rest), piece(finish="stop"))
    assert reply.tool_calls == [Asked("c1", "one", "{}"), Asked("c2", "two", "{ }")]


def test_calls_in_one_piece_and_calls_of_another_kind(model: ScriptedModel) -> None:
    custom = {"index": 0, "id": "c0", "type": "custom", "custom": {"name": "x", "input": "y"}}
    model.streams(calls=[custom, {"index": 1} | call("echo", {"a": 1})])
    *_, reply = ask()
    assert reply == Reply(None, [Asked("call_echo", "echo", '{"a": 1}')], 10, 5)


def test_halves_of_a_character_meet(model: ScriptedModel) -> None:
    model.streams("a\ud83d", "\ude00b", "\ud83d", "c\ude00")
    *pieces, reply = ask()
    assert pieces == ["a", "😀b", "\ufffdc\ufffd"]
    assert isinstance(reply, Reply)
    assert reply.content == "".join(map(str, pieces))


def test_a_provider_that_cannot_count(model: ScriptedModel) -> None:
    assert reply_to(model, piece("a"), piece(finish="stop")) == Reply("a", [], None, None)
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert reply_to(model, piece("a", usage={"prompt_tokens": 1}), piece(finish="stop", usage=usage)).prompt_tokens == 1


@pytest.mark.parametrize("status", [400, 422])
def test_a_provider_that_does_not_know_how_to_count(model: ScriptedModel, status: int) -> None:
    model.fails(status, "Unknown field: stream_options")
    model.tells([piece("a"), piece(finish="stop")])
    assert list(ask())[-1] == Reply("a", [], None, None)
    assert [request.get("stream_options") is None for request in model.requests] == [False, True]


@pytest.mark.parametrize("status", [408, 429, 500, 529])
def test_failures_in_passing(model: ScriptedModel, status: int) -> None:
    model.fails(status)
    with pytest.raises(ModelUnavailable):
        list(ask())


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_refusals(model: ScriptedModel, status: int) -> None:
    model.fails(status, "wrong key: key-of-the-model-provider")
    with pytest.raises(ModelRejected) as refused:
        list(ask())
    assert "key-of-the-model-provider" not in str(refused.value)


def test_no_connection(model: ScriptedModel) -> None:
    model.breaks(httpx2.ConnectTimeout)
    with pytest.raises(ModelUnavailable, match="APITimeoutError"):
        list(ask())


def test_unknown_provider_and_missing_key() -> None:
    for provider in ("nobody", "no key"):
        with pytest.raises(ModelRejected, match="does not know"):
            next(llm.stream(provider, "m", [], tools=[], params={}, timeout_s=1, tick_s=1, max_bytes=1))


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [piece("a")],
        [piece("a"), "no json"],
        [piece("a"), '"text"'],
        [piece("a"), "[]"],
        [piece("a"), {"error": {"message": "overloaded", "code": 529}}],
        [piece(choices=[{}])],
        [piece(choices=[{"index": 0, "delta": None}])],
        [piece(choices=7)],
        [piece(None, {"index": 0})],
        [{"choices": [{"delta": {"content": ["a"]}, "finish_reason": "stop"}]}],
    ],
)
def test_what_is_no_stream_of_a_completion(model: ScriptedModel, chunks: list[Any]) -> None:
    model.tells(chunks)
    with pytest.raises(ModelUnavailable):
        list(ask())


def test_an_answer_that_is_not_streamed(model: ScriptedModel) -> None:
    model.answers(completion("whole"))
    with pytest.raises(ModelUnavailable):
        list(ask())


def test_a_connection_that_breaks(model: ScriptedModel) -> None:
    def chunks() -> Any:
        yield piece("a")
        raise httpx2.RemoteProtocolError("peer closed connection")

    model.tells(chunks())
    with pytest.raises(ModelUnavailable):
        list(ask())


def test_the_time_limit_is_for_all_of_it(model: ScriptedModel) -> None:
    """A provider that says something now and then is never late with any one piece."""

    def late() -> Pieces:
        drip = model.tells((piece("x") for _ in range(1_000)), pause=0.02)
        with pytest.raises(ModelUnavailable, match="in time"):
            list(ask(timeout_s=0.3))
        return drip

    assert in_time(2, late).is_given_up()


def test_silence_is_told(model: ScriptedModel) -> None:
    thinking = threading.Event()

    def chunks() -> Any:
        yield piece("a")
        thinking.wait(60)
        yield piece("b", finish="stop")

    model.tells(chunks())
    seen = []
    for got in ask(tick_s=0.01):
        seen.append(got)
        if seen.count(None) > 3:
            thinking.set()
    assert [got for got in seen if isinstance(got, str)] == ["a", "b"]
    assert seen.index("a") < seen.index(None) < seen.index("b") or seen[0] is None


def test_closing_hangs_up(model: ScriptedModel) -> None:
    endless = model.tells((piece("x") for _ in iter(int, 1)), pause=0.01)
    answer = ask()
    assert next(answer) == "x"
    answer.close()
    assert endless.is_given_up()


def test_what_is_too_long_is_not_read_to_its_end(model: ScriptedModel) -> None:
    model.tells(piece("\x01" * 100) for _ in iter(int, 1))
    *pieces, reply = ask(max_bytes=6_000)
    assert isinstance(reply, Reply)
    assert [len(str(got)) for got in pieces] == [100] * 10
    assert len(json.dumps(reply.content)) > 6_000
    model.tells(piece(None, fragment(0, "x" * 100, id="c")) for _ in iter(int, 1))
    (reply,) = ask(max_bytes=6_000)
    assert isinstance(reply, Reply)
    assert len(reply.tool_calls[0].arguments) == 6_100
