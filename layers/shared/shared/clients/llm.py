"""The model: one chat completion over the OpenAI API, whole or as it is made. The only file that imports openai."""

import queue
import socket
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared import metrics
from shared.clients.llm_replies import Assembly, reply_of, text
from shared.clients.llm_replies import Reply as Reply
from shared.clients.secrets import model_key
from shared.config import model_base_url
from shared.errors import ModelRejected, ModelUnavailable, RunError
from shared.telemetry import measure

_PASSING = {408, 409, 425, 429}


@cache
def _client(base_url: str, key: str) -> openai.OpenAI:
    # Step Functions repeats what fails in passing; a second layer of retries would only multiply the waiting.
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)


def chat(
    provider: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    timeout_s: float,
) -> Reply:
    """One chat completion.

    Args:
        messages, tools: in the API's own form. params: validated parameters, such as `temperature`.
        timeout_s: seconds until the call is given up.

    Raises:
        ModelUnavailable: rate limit, timeout, 5xx, no connection; worth repeating.
        ModelRejected: unknown model, refused key, invalid request; not worth repeating.
    """
    client, key = _provider(provider)
    begun = time.monotonic()
    try:
        answer = _asked(client, _body(model, messages, tools, params), timeout_s)
    except openai.OpenAIError as error:
        failure = _failure(error, model, key)
        _measure_failure(provider, model, begun, failure)
        raise failure from error
    reply = reply_of(answer)
    _measure_reply(provider, model, begun, reply)
    return reply


def stream(
    provider: str,
    model: str,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]],
    params: Mapping[str, Any],
    timeout_s: float,
    tick_s: float,
    max_bytes: int,
) -> Generator[str | Reply | None, None, None]:
    """One chat completion as it is made: the pieces of its text, then the whole of it. Close the iterator to hang up.

    Args:
        timeout_s: seconds until the call is given up, however much of it has come.
        tick_s: after so many seconds without a piece, None is given instead of one.
        max_bytes: of text and arguments, as JSON. Behind them nothing more is read, and the reply is what has come.

    Raises:
        ModelUnavailable, ModelRejected: see `chat`; a stream that breaks off, or is none, is worth repeating.
    """
    client, key = _provider(provider)
    body = _body(model, messages, tools, params)
    begun = time.monotonic()
    ends_at = begun + timeout_s
    line = _Line()
    # A thread of its own reads: the caller can write down what has come while the provider thinks about the rest.
    arrived: queue.SimpleQueue[str | Reply | RunError] = queue.SimpleQueue()

    def read() -> None:
        try:
            for piece in _pieces(client, body, timeout_s, line, max_bytes):
                arrived.put(piece)
        except Exception as error:  # noqa: BLE001 - whatever a provider sends or does, the caller is told
            arrived.put(_failure(error, model, key))

    threading.Thread(target=read, name="model", daemon=True).start()
    heard = False
    try:
        while (left := ends_at - time.monotonic()) > 0:
            try:
                got = arrived.get(timeout=min(left, tick_s))
            except queue.Empty:
                yield None
                continue
            if isinstance(got, RunError):
                raise got
            if not heard:
                heard = True
                measure({metrics.FIRST_CHUNK: time.monotonic() - begun}, _dimensions(provider), model=model)
            if isinstance(got, Reply):
                _measure_reply(provider, model, begun, got)
            yield got
            if isinstance(got, Reply):
                return
        raise ModelUnavailable("The model provider did not answer in time.")
    except RunError as failure:
        _measure_failure(provider, model, begun, failure)
        raise
    finally:
        line.cut()


def _measure_reply(provider: str, model: str, begun: float, reply: Reply) -> None:
    measure({metrics.MODEL_DURATION: time.monotonic() - begun}, _dimensions(provider), model=model)
    for kind, tokens in (("input", reply.prompt_tokens), ("output", reply.completion_tokens)):
        if tokens is not None:
            measure({metrics.TOKENS: tokens}, _dimensions(provider) | {"gen_ai.token.type": kind}, model=model)


def _measure_failure(provider: str, model: str, begun: float, failure: RunError) -> None:
    took = {metrics.MODEL_DURATION: time.monotonic() - begun}
    measure(took, _dimensions(provider), error=type(failure).__name__, model=model)


def _dimensions(provider: str) -> dict[str, str]:
    return {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider}


def _provider(name: str) -> tuple[openai.OpenAI, str]:
    """The client of a provider, and its key.

    Raises:
        ModelRejected: this deployment does not know the provider, or has no key for it.
    """
    base_url = model_base_url(name)
    if base_url is None:
        raise ModelRejected(f"This deployment does not know the model provider {name!r}.")
    key = model_key(name)
    if key is None:
        raise ModelRejected(f"This deployment has no key for the model provider {name!r}.")
    return _client(base_url, key), key


def _body(
    model: str, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], params: Mapping[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "messages": messages, **params}
    return body | ({"tools": tools} if tools else {})


def _asked(client: openai.OpenAI, body: dict[str, Any], timeout_s: float, *, streamed: bool = False) -> Any:
    """What `chat.completions.create` gives for arguments that are JSON already.

    It would look each part of them up in its type hints for fields with other names, of which this request has none:
    as much work as a call's HTTP.
    """
    return client.post(
        "/chat/completions",
        cast_to=ChatCompletion,
        body=body,
        options={"timeout": timeout_s, "security": {"bearer_auth": True}},
        stream=streamed,
        stream_cls=openai.Stream[ChatCompletionChunk],
    )


class _Line:
    """The connection of a stream: one thread reads from it, another may cut it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._response: Any = None
        self.is_cut = False

    def hold(self, response: Any) -> None:
        """The connection is open; None lets go of it."""
        with self._lock:
            self._response = response
            if self.is_cut:
                self._shut_down()

    def cut(self) -> None:
        """Hang up; the reading thread, which may be waiting, comes to its end."""
        with self._lock:
            self.is_cut = True
            self._shut_down()

    def _shut_down(self) -> None:
        network = self._response.extensions.get("network_stream") if self._response is not None else None
        if network is not None:
            # Closing would not wake the thread that waits for the next bytes.
            with suppress(OSError):
                network.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def _pieces(
    client: openai.OpenAI, body: dict[str, Any], timeout_s: float, line: _Line, max_bytes: int
) -> Iterator[str | Reply]:
    assembly = Assembly()
    with _opened(client, body, timeout_s) as chunks:
        line.hold(chunks.response)
        try:
            for chunk in chunks:
                if line.is_cut:
                    return
                piece = assembly.add(chunk)
                if assembly.size > max_bytes:
                    assembly.finished = True
                    break
                if piece:
                    yield piece
        finally:
            line.hold(None)
    yield assembly.reply()


def _opened(client: openai.OpenAI, body: dict[str, Any], timeout_s: float) -> Any:
    """The stream, with token counts at its end; without, if the provider does not know how to ask for them."""
    streamed = body | {"stream": True}
    try:
        return _asked(client, streamed | {"stream_options": {"include_usage": True}}, timeout_s, streamed=True)
    except openai.APIStatusError as error:
        if error.status_code not in {400, 422} or "stream_options" not in str(error.body):
            raise
        return _asked(client, streamed, timeout_s, streamed=True)


def _failure(error: Exception, model: str, key: str) -> RunError:
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, model, key)
    if isinstance(error, openai.APIConnectionError):
        return ModelUnavailable(f"The model provider did not answer ({type(error).__name__}).")
    if isinstance(error, RunError):
        return error
    if isinstance(error, openai.OpenAIError) and type(error) is not openai.APIError:
        return ModelRejected(f"The model call failed ({type(error).__name__}).")
    # The error event of a stream is a bare APIError; anything else is what a stream must not be.
    return ModelUnavailable(f"The model provider broke its answer off ({type(error).__name__}).")


def _of_status(error: openai.APIStatusError, model: str, key: str) -> ModelUnavailable | ModelRejected:
    status = error.status_code
    if status in _PASSING or status >= 500:
        return ModelUnavailable(f"The model provider answered {status}.")
    if status in {401, 403}:
        return ModelRejected("The model provider refused the platform's key.")
    body = error.body if isinstance(error.body, dict) else {}
    # The provider's own words may quote the key.
    said = text(str(body.get("message", ""))).replace(key, "[key]")[:300]
    return ModelRejected(f"The model provider refused the request for {model!r} ({status}): {said}")
