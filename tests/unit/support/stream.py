"""Streamed answers, asked for as Lambda Web Adapter asks: the event of the gateway as an HTTP request."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from local.web import request_of
from tests.unit.support.gateway import Api, load, routes

Message = MutableMapping[str, Any]
_STEADY = time.monotonic


@dataclass
class Streamed:
    """What a client got. `closed` says that the answer came to its end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    closed: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[tuple[int, str, Any]]:
        """Number, name and data of each event."""
        return events_in(self.text)


def events_in(text: str) -> list[tuple[int, str, Any]]:
    """The events of a stream's text, comments left out; every frame must be whole."""
    found = []
    for frame in text.split("\n\n")[:-1]:
        lines = [line for line in frame.split("\n") if not line.startswith(":")]
        if lines:
            number, name, data = (line.partition(": ") for line in lines)
            assert (number[0], name[0], data[0]) == ("id", "event", "data"), frame
            found.append((int(number[2]), name[2], json.loads(data[2])))
    return found


def ask(
    application: Any, scope: Message, body: bytes = b"", until: Callable[[str], bool] = lambda text: False
) -> Streamed:
    """Send a request, and read the answer to its end, or until the client has seen enough and goes away."""
    answer = Streamed()
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def exchange() -> None:
        left = asyncio.Event()

        async def receive() -> Message:
            if messages:
                return messages.pop(0)
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                return
            answer.text += message["body"].decode()
            answer.closed = not message.get("more_body", False)
            if until(answer.text):
                left.set()

        served: Awaitable[None] = application(scope, receive, send)
        await asyncio.wait_for(served, 20)

    with asyncio.Runner() as runner:
        # Tests that travel in time take the platform with them, not the loop that it runs on.
        runner.get_loop().time = _STEADY  # type: ignore[method-assign]
        runner.run(exchange())
    return answer


def request(
    api: Api,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    raw: str | None = None,
    until: Callable[[str], bool] = lambda text: False,
) -> Streamed:
    """Ask a streamed route of the template."""
    text = raw if raw is not None else None if body is None else json.dumps(body)
    sent = ({} if text is None else {"content-type": "application/json"}) | (headers or {})
    path, _, query = path.partition("?")
    for route in routes():
        parameters = route.match(method, path)
        if parameters is not None:
            event = api.event(route, path, query, text, sent, parameters)
            event["requestContext"] |= {"resourcePath": route.path, "httpMethod": method}
            return ask(load(route.module).application, *request_of(event), until)
    raise AssertionError(f"the template has no route {method} {path}")
