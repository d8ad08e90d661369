"""The REST API: what API Gateway does between the client and a function."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from local.host import PAYLOAD_LIMIT, Host
from local.messages import (
    MalformedAnswerError,
    Reply,
    Request,
    allows,
    as_text,
    authorizer_event,
    event_of,
    gateway_reply,
    method_arn,
    reply_of,
    with_body,
)
from local.mocks import NoTemplateError, mock_reply
from local.routing import Routes
from local.stack import Api, Authorizer, Mock, Route
from local.usage_plans import RETRY_SECONDS, UsagePlans
from local.web import WebFunctionError, WebHost

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_LIMIT = 10 * 1024 * 1024
INTEGRATION_SECONDS = 29.0

_VERDICTS = 10_000


class _RefusedError(Exception):
    """The gateway answers itself; the name of its response is the only argument."""

    @property
    def kind(self) -> str:
        return str(self.args[0])


class Gateway:
    """An ASGI application that serves one API from the functions of a host."""

    def __init__(self, api: Api, host: Host, web: WebHost, plans: UsagePlans) -> None:
        self._api, self._host, self._web, self._plans = api, host, web, plans
        self._reading = asyncio.Lock()
        self._routes = Routes(api.routes)
        self._verdicts: dict[tuple[str, ...], tuple[float, dict[str, Any]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request, complete = await _read(scope, receive)
        try:
            if not complete:
                raise _RefusedError("REQUEST_TOO_LARGE")
            route, event = await self._admitted(request)
            if route.streamed:
                await self._stream(str(route.target), event, receive, send, request)
                return
            reply = await self._answer(route, event)
        except _RefusedError as refused:
            reply = gateway_reply(refused.kind, request, self._api)
        await _send(reply, request, send)

    async def _admitted(self, request: Request) -> tuple[Route, dict[str, Any]]:
        """The route of a request and the event for its function, once its caller is known."""
        match = self._routes.match(request.method, request.path)
        if match is None:
            raise _RefusedError("MISSING_AUTHENTICATION_TOKEN")
        route, parameters = match
        event = event_of(request, route, parameters, self._api, None)
        if route.authorizer is not None:
            event["requestContext"]["authorizer"] = await self._caller(
                route.authorizer, event, request, route.needs_key
            )
        return route, with_body(event, request, self._api)

    async def _answer(self, route: Route, event: dict[str, Any]) -> Reply:
        if isinstance(route.target, Mock):
            return self._mocked(route.target, event)
        try:
            async with asyncio.timeout(INTEGRATION_SECONDS):
                result = await self._host.invoke(route.target, _payload(event))
        except TimeoutError:
            raise _RefusedError("INTEGRATION_TIMEOUT") from None
        if result.error:
            raise _RefusedError("INTEGRATION_FAILURE")
        try:
            return reply_of(result.payload, self._api)
        except MalformedAnswerError:
            raise _RefusedError("INTEGRATION_FAILURE") from None

    def _mocked(self, mock: Mock, event: dict[str, Any]) -> Reply:
        try:
            return mock_reply(mock, event)
        except NoTemplateError:
            raise _RefusedError("UNSUPPORTED_MEDIA_TYPE") from None

    async def _stream(
        self, function: str, event: dict[str, Any], receive: Receive, send: Send, request: Request
    ) -> None:
        """Hand an answer on as it comes."""
        _payload(event)
        begun = False

        async def hand_on(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message["headers"], (b"x-amzn-requestid", request.request_id.encode())]
            await send(message)

        try:
            await self._web.serve(function, event, receive, hand_on)
        except WebFunctionError:
            if not begun:
                raise _RefusedError("INTEGRATION_FAILURE") from None
            await send({"type": "http.response.body", "body": b""})

    async def _caller(
        self, authorizer: Authorizer, event: dict[str, Any], request: Request, needs_key: bool
    ) -> dict[str, Any]:
        """Who is calling, in the authorizer's words; every value is text, as API Gateway makes it."""
        identity = tuple(_identity(source, event) for source in authorizer.identity)
        if not all(identity):
            raise _RefusedError("UNAUTHORIZED")
        arn = method_arn(request, self._api)
        verdict = self._remembered(authorizer, identity)
        if verdict is None:
            verdict = await self._ask(authorizer, authorizer_event(event, arn))
            if authorizer.cache_seconds:
                if len(self._verdicts) >= _VERDICTS:
                    self._verdicts.clear()
                self._verdicts[authorizer.function, *identity] = time.monotonic(), verdict
        if not allows(verdict["policyDocument"], arn):
            raise _RefusedError("ACCESS_DENIED")
        if needs_key:
            await self._count(str(verdict.get("usageIdentifierKey", "")))
        context = {name: as_text(value) for name, value in (verdict.get("context") or {}).items()}
        return {"principalId": verdict["principalId"], **context}

    async def _count(self, key: str) -> None:
        """Let a request pass by the key that the authorizer named, if its usage plan lets it."""
        await self._know(key)
        refusal = self._plans.refusal(key)
        if refusal == "INVALID_API_KEY":
            # Made, or moved, a moment ago: it will be there as soon as the plans may be read again.
            await asyncio.sleep(RETRY_SECONDS)
            await self._know(key)
            refusal = self._plans.refusal(key)
        if refusal:
            raise _RefusedError(refusal)

    async def _know(self, key: str) -> None:
        if self._plans.must_read(key):
            async with self._reading:
                if self._plans.must_read(key):
                    await asyncio.get_running_loop().run_in_executor(None, self._plans.read)

    async def _ask(self, authorizer: Authorizer, event: dict[str, Any]) -> dict[str, Any]:
        result = await self._host.invoke(authorizer.function, json.dumps(event).encode())
        verdict = json.loads(result.payload)
        if result.error:
            # API Gateway knows this one message; anything else is the authorizer's own failure.
            raise _RefusedError("UNAUTHORIZED" if verdict["errorMessage"] == "Unauthorized" else "AUTHORIZER_FAILURE")
        if not isinstance(verdict, dict) or not {"principalId", "policyDocument"} <= verdict.keys():
            raise _RefusedError("AUTHORIZER_FAILURE")
        return verdict

    def _remembered(self, authorizer: Authorizer, identity: tuple[str, ...]) -> dict[str, Any] | None:
        asked_at, verdict = self._verdicts.get((authorizer.function, *identity), (0.0, None))
        return verdict if time.monotonic() - asked_at < authorizer.cache_seconds else None


def _payload(event: dict[str, Any]) -> bytes:
    """The event as Lambda takes it."""
    payload = json.dumps(event).encode()
    if len(payload) > PAYLOAD_LIMIT:
        raise _RefusedError("REQUEST_TOO_LARGE")
    return payload


async def _read(scope: Scope, receive: Receive) -> tuple[Request, bool]:
    """The request, and whether all of it was read: a body over the limit is never held in memory."""
    chunks: list[bytes] = []
    size, more = 0, True
    while more and size <= BODY_LIMIT:
        message = await receive()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        more = message.get("more_body", False)
    complete = size <= BODY_LIMIT
    client = scope.get("client") or ("127.0.0.1", 0)
    request = Request(
        method=scope["method"],
        raw_path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        body=b"".join(chunks) if complete else b"",
        source_ip=client[0],
    )
    return request, complete


async def _send(reply: Reply, request: Request, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    headers = [header for header in headers if header[0] != b"content-length"]
    headers.append((b"x-amzn-requestid", request.request_id.encode()))
    if reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else reply.body})


def _identity(source: str, event: dict[str, Any]) -> str:
    """The value an identity source such as ``method.request.header.Authorization`` points at."""
    *_, place, name = source.split(".", 3) if source.startswith("method.") else ("", "context", source)
    if place == "header":
        return str(event["headers"].get(name.lower(), ""))
    if place == "querystring":
        return str((event["queryStringParameters"] or {}).get(name, ""))
    return str(event["requestContext"].get(name, ""))
