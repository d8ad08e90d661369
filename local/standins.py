"""What the platform talks to, on one loopback port: an echo tool and the offline model."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from local import offline_model


def outside() -> list[Route]:
    """The echo tool and the offline model."""
    return [
        Route("/echo", _echo, methods=["GET", "POST"]),
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/models", _models),
    ]


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
