"""Lambda functions that are web servers: what Lambda Web Adapter does between an event and an ASGI application.

On AWS the adapter starts the function's server and asks it over HTTP. Here the server's application is called itself,
with the requests that the adapter would send: one at a time in each environment, as everywhere in Lambda.
"""

import asyncio
import base64
import itertools
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from local.host import load
from local.permissions import at_work
from local.stack import Function

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

MAX_ENVIRONMENTS = 256

_SCRIPT = ".sh"
_numbers = itertools.count(1)


class WebFunctionError(Exception):
    """The application failed, took too long or was stopped."""


def is_web(function: Function) -> bool:
    """Whether the function's handler is a script that starts a server: ``start.sh`` serves ``start.py``."""
    return function.handler.endswith(_SCRIPT)


def request_of(event: Mapping[str, Any]) -> tuple[Message, bytes]:
    """The HTTP request that the adapter makes of an event, as ASGI scope and body."""
    headers = {name.lower(): values for name, values in (event["multiValueHeaders"] or {}).items()}
    # Whatever a client sent under these names is overwritten.
    headers["x-amzn-request-context"] = [json.dumps(event["requestContext"])]
    headers["x-amzn-lambda-context"] = ["{}"]
    body = event["body"] or ""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": event["httpMethod"],
        "scheme": "http",
        "path": event["path"],
        "raw_path": quote(event["path"]).encode(),
        "query_string": urlencode(event["multiValueQueryStringParameters"] or {}, doseq=True).encode(),
        "headers": [(name.encode("latin-1"), v.encode()) for name, values in headers.items() for v in values],
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 8080),
    }
    return scope, base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


@dataclass
class _Pool:
    function: Function
    idle: list[Application] = field(default_factory=list)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_ENVIRONMENTS))


class WebHost:
    """Serves requests from environments that are copies of a function's module. Lives on one event loop."""

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._pools = {name: _Pool(function) for name, function in functions.items() if is_web(function)}
        self._open: set[asyncio.Task[None]] = set()
        self._closed = False

    async def serve(self, logical_id: str, event: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a function answer an event.

        Args:
            receive: asked once the body is read; tells when the client has gone.

        Raises:
            WebFunctionError: it did not come to an end of its own.
        """
        pool = self._pools[logical_id]
        scope, body = request_of(event)
        bodies = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive_all() -> Message:
            message: Message | None = next(bodies, None)
            return message if message is not None else await receive()

        async with pool.places:
            if self._closed:
                raise WebFunctionError("the host is stopping")
            application = pool.idle.pop() if pool.idle else await _environment(pool.function)
            context = copy_context()
            context.run(at_work.set, logical_id)
            work = asyncio.wait_for(application(scope, receive_all, send), pool.function.timeout)
            task = asyncio.create_task(work, context=context)
            self._open.add(task)
            try:
                await asyncio.wait({task})
            finally:
                task.cancel()
                self._open.discard(task)
            if task.cancelled() or (error := task.exception()) is not None:
                if not task.cancelled():
                    traceback.print_exception(error)
                raise WebFunctionError(pool.function.logical_id)
            pool.idle.append(application)

    async def preload(self) -> None:
        """Make the first environment of every function."""
        for pool in self._pools.values():
            pool.idle.append(await _environment(pool.function))

    async def close(self) -> None:
        """Refuse new requests and break off the open ones."""
        self._closed = True
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)


async def _environment(function: Function) -> Application:
    name = f"{function.logical_id}__web_{next(_numbers)}"
    file = function.handler.removesuffix(_SCRIPT)
    module = await asyncio.to_thread(load, function, file, name)
    # Nobody looks the module up by its name; its functions keep it alive.
    sys.modules.pop(name)
    application: Application = module.application
    return application
