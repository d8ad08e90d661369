"""Streamed answers: a run's events as server-sent events, behind Lambda Web Adapter.

The adapter makes an HTTP request of the gateway's event. Here it becomes an event again, which an ordinary handler of
`shared.api.edge` answers: so a streamed route asks for permission, reads bodies, replays and refuses as every other.
If that answer is `watched(...)`, the events of the run follow until its end, else it is sent as it is.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from aws_lambda_powertools.event_handler import Response

from shared import metrics
from shared.api.caller import identify
from shared.api.edge import Handler
from shared.config import settings
from shared.domain import watching
from shared.domain.run_records import RunEvent
from shared.domain.watching import Place
from shared.store.table import TenantStore
from shared.telemetry import function_name, log_context, logger, measure

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

READY_PATH = "/_ready"
"""Where Lambda Web Adapter asks whether the server is up; no route of the API leads there."""

CONTEXT_HEADER = "x-amzn-request-context"
"""The gateway's request context as JSON. The adapter sets it, over whatever a client sent under this name; nothing
else says who calls."""

ADAPTER_HEADERS = frozenset({CONTEXT_HEADER, "x-amzn-lambda-context", "x-amz-tenant-id"})
"""What a client cannot send: the adapter sets these itself, or the application does not read them."""

# The gateway gives a streamed answer 15 minutes (Amazon API Gateway Developer Guide, "Stream the integration
# response"). A stream that ends before can be resumed; one that is cut off in the middle of an event need not be.
_LONGEST_SECONDS = 14 * 60
_CHECK_SECONDS = 5.0
_MEDIA_TYPE = "text/event-stream"

DOCUMENTED: dict[int, Any] = {
    200: {
        "description": "The events of the run as they come: `id` is the number of an event, `event` its name, `data` "
        "its JSON. Exactly one of `result`, `error` and `cancelled` comes, as the last. A stream that breaks off "
        "before is resumed with `Last-Event-ID` at `/runs/{run_id}/stream`.",
        "content": {
            _MEDIA_TYPE: {
                "schema": {
                    "title": "StreamedEvent",
                    "type": "object",
                    "required": ["id", "event", "data"],
                    "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
                },
                "example": {
                    "id": "2",
                    "event": "message.delta",
                    "data": '{"step": 1, "attempt": 1, "content": "It is"}',
                },
            }
        },
    }
}
"""What openapi.json says of a streamed answer."""


def watched(run_id: str, after: int = 0, *, over: bool = False) -> Response[str]:
    """The answer of a streamed route: the events of this run behind a number follow. A replay of it joins the run.

    Args:
        over: the run has ended, so nothing comes but what is there.
    """
    body = json.dumps({"run_id": run_id, "after": after, "over": over})
    headers: dict[str, str | list[str]] = {"Cache-Control": "no-cache"}
    return Response(status_code=200, content_type=_MEDIA_TYPE, body=body, headers=headers)


def streamed(handle: Handler) -> Application:
    """The ASGI application that serves a handler whose answers may be `watched(...)`."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] == READY_PATH:
            await _send_whole({"statusCode": 204, "multiValueHeaders": {}}, send)
            return
        event = _event(scope, await _body(receive))
        answer = await asyncio.to_thread(handle, event, None)
        if not _is_watched(answer):
            await _send_whole(answer, send)
            return
        await _start(answer, send)
        gone = asyncio.create_task(_gone(receive))
        store, wanted = identify(event, "").store, json.loads(answer["body"])
        (trace_id,) = answer["multiValueHeaders"]["X-Trace-Id"]
        log_context(trace_id=trace_id, tenant_id=store.tenant_id, run_id=wanted["run_id"])
        log_context(function=function_name(None), operation=f"{event['httpMethod']} {event['resource']}")
        try:
            async for text in _frames(store, gone, **wanted):
                await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    return application


async def _frames(
    store: TenantStore, gone: "asyncio.Task[None]", *, run_id: str, after: int, over: bool
) -> AsyncIterator[str]:
    """Events and keep-alives, as text, until the run has ended, the client has gone or the time is up."""
    place = Place(after)
    begun = sent = checked = heard = time.monotonic()
    flowing = False
    try:
        while not gone.done() and (now := time.monotonic()) - begun < _LONGEST_SECONDS:
            events, place = await asyncio.to_thread(watching.look, store, run_id, place)
            for event in events:
                yield _frame(event)
            if watching.is_end(events[-1]) if events else over:
                return
            if events:
                sent = checked = heard = now
            elif now - checked >= _CHECK_SECONDS:
                # Silence, because nothing happens yet or because nothing can happen any more: then look once more.
                checked, over = now, await asyncio.to_thread(watching.is_over, store, run_id)
                continue
            elif now - sent >= settings().sse_keepalive_seconds:
                sent = now
                yield ": keep-alive\n\n"
            await asyncio.wait({gone}, timeout=watching.pause(events, now - heard, flowing=flowing))
            flowing = watching.is_text(events) if events else flowing
    except Exception:  # noqa: BLE001 - the answer has begun: nothing can be told any more, but a client can resume
        logger.exception("stream broken off")
        measure({metrics.STREAMS_BROKEN: 1})


def _frame(event: RunEvent) -> str:
    data = json.dumps(event.data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {event.event}\ndata: {data}\n\n"


def _is_watched(answer: dict[str, Any]) -> bool:
    kinds: list[str] = answer["multiValueHeaders"].get("Content-Type", [])
    return kinds == [_MEDIA_TYPE]


async def _body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _gone(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _event(scope: Message, body: bytes) -> dict[str, Any]:
    """The event that the adapter made this request of; without the adapter, one that no authorizer spoke for."""
    sent = [(name.decode("latin-1").lower(), value.decode("utf-8", "replace")) for name, value in scope["headers"]]
    context = _context([value for name, value in sent if name == CONTEXT_HEADER])
    resource = str(context.get("resourcePath") or scope["path"])
    headers: dict[str, list[str]] = {}
    for name, value in sent:
        if name not in ADAPTER_HEADERS:
            headers.setdefault(name, []).append(value)
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return {
        "resource": resource,
        "path": scope["path"],
        "httpMethod": scope["method"],
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": _parameters(resource, scope["raw_path"].decode("latin-1")) or None,
        "stageVariables": None,
        "requestContext": context,
        "body": body.decode(errors="replace") or None,
        "isBase64Encoded": False,
    }


def _context(texts: list[str]) -> dict[str, Any]:
    """The gateway's request context, if it came as the adapter sends it."""
    try:
        (text,) = texts
        context = json.loads(text)
    except ValueError:
        return {}
    return context if isinstance(context, dict) else {}


def _parameters(resource: str, raw_path: str) -> dict[str, str]:
    """The values of a route's variables. The path may begin with the base path of a custom domain."""
    names = resource.strip("/").split("/")
    values = raw_path.strip("/").split("/")[-len(names) :]
    return {
        name.strip("{}"): unquote(value) for name, value in zip(names, values, strict=False) if name.startswith("{")
    }


async def _start(answer: dict[str, Any], send: Send, size: int | None = None) -> None:
    headers = [
        (name.lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
        for name, values in answer["multiValueHeaders"].items()
        for value in values
    ]
    if size is not None:
        headers.append((b"content-length", str(size).encode()))
    await send({"type": "http.response.start", "status": answer["statusCode"], "headers": headers})


async def _send_whole(answer: dict[str, Any], send: Send) -> None:
    body = (answer.get("body") or "").encode()
    await _start(answer, send, len(body) if body else None)
    await send({"type": "http.response.body", "body": body})
