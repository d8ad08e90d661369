"""A model and a tool that answer at once, in a process of their own: the same for the platform and for its peers."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.ports import free_ports
from local import standins

PACED = "/paced"
"""Behind this path is a model that takes its time, told in the name of the model: ms to its first token, number of
tokens, ms between two. Each token says when it left: nanoseconds of the monotonic clock, one for all processes."""

_START_SECONDS = 20


@contextmanager
def running() -> Iterator[str]:
    """The stub's URL, while it runs. `/v1` is the offline model, `/echo` the tool."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.stub", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/v1/models").read()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def paced_model(first_ms: int, tokens: int, every_ms: int) -> str:
    """The name of a model that answers at this pace."""
    return f"paced-{first_ms}-{tokens}-{every_ms}"


async def _paced(request: Request) -> StreamingResponse:
    asked = await request.json()
    first_ms, tokens, every_ms = map(int, asked["model"].split("-")[1:])
    return StreamingResponse(_tokens(asked["model"], first_ms, tokens, every_ms), media_type="text/event-stream")


async def _tokens(model: str, first_ms: int, tokens: int, every_ms: int) -> AsyncIterator[str]:
    common = {"id": "chatcmpl-paced", "object": "chat.completion.chunk", "created": 0, "model": model}

    def chunk(delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return f"data: {json.dumps(common | {'choices': [choice]})}\n\n"

    yield chunk({"role": "assistant", "content": ""})
    await asyncio.sleep(first_ms / 1_000)
    for number in range(tokens):
        if number:
            await asyncio.sleep(every_ms / 1_000)
        yield chunk({"content": f"{time.monotonic_ns()} "})
    yield chunk({}, "stop")
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    yield f"data: {json.dumps(common | {'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def main() -> None:
    routes = [Route(f"{PACED}/v1/chat/completions", _paced, methods=["POST"]), *standins.outside()]
    uvicorn.run(Starlette(routes=routes), port=int(sys.argv[1]), http="httptools", log_level="warning")


if __name__ == "__main__":
    main()
