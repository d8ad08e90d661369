"""What the platform talks to, on one loopback port: an echo tool, the offline model, and the Lambda endpoint."""

import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local import offline_model
from local.host import Host, failure


def application(host: Host, token: str) -> Starlette:
    """The stand-ins as an ASGI application; ``token`` is what the emulator shows to invoke functions."""

    async def invoke(request: Request) -> Response:
        # Any page in the user's browser can send requests to this port, so the address alone proves nothing.
        if not hmac.compare_digest(request.headers.get("x-local-token", ""), token):
            return Response(status_code=403)
        logical_id = host.logical_id(request.headers.get("x-amzn-lambda-function-name", ""))
        if logical_id is None:
            return Response(status_code=404)
        event = await request.body()
        answer = await host.invoke(logical_id, event)
        if not answer.error and _wants_again(event, answer.payload):
            answer = failure("Unhandled", "The records of the stream are to be given again.")
        headers = {"X-Amz-Function-Error": answer.error} if answer.error else None
        return Response(answer.payload, media_type="application/json", headers=headers)

    return Starlette(routes=[Route("/_invoke", invoke, methods=["POST"]), *outside()])


def outside() -> list[Route]:
    """The echo tool and the offline model alone."""
    return [
        Route("/echo", _echo, methods=["GET", "POST"]),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/models", _models),
    ]


def _wants_again(event: bytes, payload: bytes) -> bool:
    """Whether a reader of the table's stream wants records again: the emulator gives them after an error only."""
    if not payload.startswith(b'{"batchItemFailures": [{'):
        return False
    source = json.loads(event)["Records"][0].get("eventSource")
    return bool(source == "aws:dynamodb")


async def _echo(request: Request) -> Response:
    """Answer with what was sent."""
    if request.method == "GET":
        return JSONResponse({"echo": dict(request.query_params)})
    body = await request.body()
    try:
        sent: Any = json.loads(body) if body else {}
    except ValueError:
        sent = body.decode(errors="replace")
    return JSONResponse({"echo": sent})


async def _models(_: Request) -> Response:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "local"} for name in offline_model.MODELS]
    return JSONResponse({"object": "list", "data": models})


async def _chat(request: Request) -> Response:
    try:
        asked = await request.json()
        model = str(asked["model"])
        if not offline_model.knows(model):
            return JSONResponse(offline_model.unknown_model(model), 404)
        if asked.get("stream"):
            pieces = list(offline_model.chunks(asked))
            return StreamingResponse(_server_sent(pieces), media_type="text/event-stream")
        return JSONResponse(offline_model.completion(asked))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"The request is not a chat completion request: {error!r}"
        return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": None}}, 400)


async def _server_sent(pieces: list[dict[str, Any]]) -> AsyncIterator[str]:
    for piece in pieces:
        yield f"data: {json.dumps(piece, ensure_ascii=False)}\n\n"
    yield "data: [DONE]\n\n"
