"""A model provider that follows a script. The real openai SDK runs; only its transport (httpx2) is ours."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import httpx2

Step = Callable[[dict[str, Any]], httpx2.Response]


def call(name: str, arguments: Any = None, *, id: str = "") -> dict[str, Any]:  # noqa: A002 - the API's own word
    """A tool call as the model asks for it; `arguments` that are no text become JSON."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": id or f"call_{name}", "type": "function", "function": {"name": name, "arguments": text}}


def completion(
    content: str | None, *calls: dict[str, Any], usage: dict[str, Any] | None = None, **changed: Any
) -> dict[str, Any]:
    """The body of a chat completion."""
    message = {"role": "assistant", "content": content} | ({"tool_calls": list(calls)} if calls else {})
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}],
        "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    } | changed


def as_json(body: Any, status: int = 200) -> httpx2.Response:
    """An answer in JSON that may hold what UTF-8 cannot: half a surrogate pair, escaped."""
    return httpx2.Response(status, content=json.dumps(body), headers={"content-type": "application/json"})


def piece(text: str | None = None, *calls: dict[str, Any], finish: str | None = None, **changed: Any) -> dict[str, Any]:
    """A chunk of a streamed chat completion."""
    delta = {"content": text} | ({"tool_calls": list(calls)} if calls else {})
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    return chunk | {"choices": [choice]} | changed


def counts() -> dict[str, Any]:
    """The chunk behind the last one, which holds the token counts."""
    return piece(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})


class Pieces(httpx2.SyncByteStream):
    """A streamed answer, made chunk by chunk while it is read.

    Attributes:
        sent: how many chunks were read. closed: the reader has hung up, or has read it all.
    """

    def __init__(self, chunks: Iterable[Any], pause: float = 0.0, end: str = "data: [DONE]\n\n") -> None:
        self.sent = 0
        self.closed = threading.Event()
        self._chunks, self._pause, self._end = chunks, pause, end

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.sent += 1
            yield f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n".encode()
            self.closed.wait(self._pause)
        yield self._end.encode()

    def close(self) -> None:
        self.closed.set()

    def is_given_up(self) -> bool:
        """Whether a reader who wants no more has one more chunk at most, and hangs up."""
        sent = self.sent
        return self.closed.wait(60) and self.sent <= sent + 1

    def answer(self) -> httpx2.Response:
        return httpx2.Response(200, stream=self, headers={"content-type": "text/event-stream"})


class ScriptedModel:
    """Answers in the order of its script. A request too many, and a step too many, fail the test."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.urls: list[str] = []
        self._steps: list[Step] = []
        self._rule: Step | None = None
        self._unexpected: list[dict[str, Any]] = []

    def says(self, content: str | None, **options: Any) -> "ScriptedModel":
        """The next answer is this text."""
        return self.answers(completion(content, **options))

    def asks(self, *calls: dict[str, Any], content: str | None = None, **options: Any) -> "ScriptedModel":
        """The next answer asks for these tool calls."""
        return self.answers(completion(content, *calls, **options))

    def answers(self, body: Any, status: int = 200) -> "ScriptedModel":
        """The next answer is this: text as it is, anything else as JSON."""
        if isinstance(body, str):
            return self.does(lambda request: httpx2.Response(status, text=body))
        return self.does(lambda request: as_json(body, status))

    def streams(self, *texts: str, pause: float = 0.0, calls: Sequence[dict[str, Any]] = ()) -> Pieces:
        """The next answer is streamed: these pieces of text, then these calls."""
        last = [piece(None, *calls, finish="tool_calls")] if calls else [piece(finish="stop")]
        return self.tells([*map(piece, texts), *last, counts()], pause=pause)

    def tells(self, chunks: Iterable[Any], **options: Any) -> Pieces:
        """The next answer is streamed: these chunks."""
        pieces = Pieces(chunks, **options)
        self.does(lambda request: pieces.answer())
        return pieces

    def fails(self, status: int, message: str = "no") -> "ScriptedModel":
        """The next answer is an error."""
        return self.answers({"error": {"message": message}}, status)

    def breaks(self, error: type[httpx2.TransportError] = httpx2.ConnectError) -> "ScriptedModel":
        """The next request gets no answer."""

        def broken(request: dict[str, Any]) -> httpx2.Response:
            raise error("broken")

        return self.does(broken)

    def does(self, step: Step) -> "ScriptedModel":
        """The next answer is made by this function, from the body of the request."""
        self._steps.append(step)
        return self

    def follows(self, rule: Step) -> "ScriptedModel":
        """Every answer is made by this function, however often it is asked."""
        self._rule = rule
        return self

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        """The transport: `httpx2.MockTransport(model.handle)`."""
        body = json.loads(request.content)
        self.requests.append(body)
        self.keys.append(request.headers["authorization"].removeprefix("Bearer "))
        self.urls.append(str(request.url))
        if self._rule is not None:
            return self._rule(body)
        if not self._steps:
            self._unexpected.append(body)
            return httpx2.Response(400, json={"error": {"message": "not in the script"}})
        return self._steps.pop(0)(body)

    def verify(self) -> None:
        """The script was followed to its end, and no further."""
        assert not self._unexpected, f"the model was asked again: {self._unexpected}"
        assert not self._steps, f"{len(self._steps)} steps of the script were not asked for"
