"""The servers of HTTP tools, behind the seam of `shared.clients.http`: all checks of that module stay real."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx

from shared.clients import http

Reply = Callable[[httpx.Request], httpx.Response]


def exchanging(handle: Reply) -> Callable[[http.Request, http.Call], AbstractContextManager[http.Response]]:
    """The seam, for what answers a request as httpx shows it."""

    @contextmanager
    def exchange(sent: http.Request, _call: http.Call) -> Iterator[http.Response]:
        target = sent.target
        url = f"{target.scheme}://{target.host_port}{target.path}"
        answer = handle(httpx.Request(sent.method, url, headers=sent.headers, content=sent.content))
        yield http.Response(answer.status_code, answer.headers.raw, [answer.content])

    return exchange


class ToolServer:
    """Answers every HTTP tool call, `{"ok": true}` unless told otherwise, and remembers the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.replies: list[Reply] = []

    def then(self, reply: Reply | httpx.Response | http.HttpError) -> "ToolServer":
        """What the next request gets. An error is raised, with its own word on whether anything was sent."""

        def do(request: httpx.Request) -> httpx.Response:
            if isinstance(reply, http.HttpError):
                raise reply
            return reply if isinstance(reply, httpx.Response) else reply(request)

        self.replies.append(do)
        return self

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    def handle(self, request: httpx.Request) -> httpx.Response:
        """What answers: `exchanging(server.handle)`."""
        self.requests.append(request)
        return self.replies.pop(0)(request) if self.replies else httpx.Response(200, json={"ok": True})

    def verify(self) -> None:
        """Every reply was asked for."""
        assert not self.replies, f"{len(self.replies)} replies were not asked for"
