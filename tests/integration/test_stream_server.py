"""The servers of streamed answers, started as Lambda Web Adapter starts them, and asked as it asks."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.isolation import function_variables
from local.runtime import ROOT, Runtime
from shared.api.stream import READY_PATH
from tests.unit.support.stream import events_in

pytestmark = pytest.mark.covers("POST /runs/stream", "GET /runs/{run_id}/stream")

Server = Callable[[str], httpx.Client]


@pytest.fixture(scope="module")
def server(platform: Runtime, free_port: Callable[[], int]) -> Iterator[Server]:
    """Starts the script of a function with what the template and Lambda put into its environment."""
    with ExitStack() as undo:

        def start(logical_id: str) -> httpx.Client:
            function = platform.stack.functions[logical_id]
            port = free_port()
            environment = function_variables({logical_id: function}, platform.emulator_url) | {
                "AWS_LWA_PORT": str(port),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                # Where Lambda has the layer under /opt/python.
                "PYTHONPATH": str(ROOT / "layers" / "shared"),
            }
            process = subprocess.Popen([function.source / function.handler], env=environment, cwd="/")
            undo.callback(process.wait, 90)
            undo.callback(process.terminate)
            client = undo.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
            deadline = time.monotonic() + 90
            while not _is_ready(client):
                assert process.poll() is None, "the server did not start"
                assert time.monotonic() < deadline, "the server is not ready"
                time.sleep(0.05)
            return client

        yield start


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get(READY_PATH).status_code == 204
    except httpx.ConnectError:
        return False


def context(resource: str, **authorizer: Any) -> dict[str, str]:
    """The header that the adapter makes of the gateway's request context."""
    said = {"accountId": "1", "resourcePath": resource, "stage": "live", "identity": {"sourceIp": "203.0.113.7"}}
    return {"x-amzn-request-context": json.dumps(said | {"authorizer": authorizer}), "x-amzn-lambda-context": "{}"}


def test_a_run_is_started_and_followed(api: httpx.Client, server: Server) -> None:
    agent = api.post("/agents", json={"name": "behind the adapter"}).json()
    speaks = {"tenant_id": agent["tenant_id"], "user_id": "user", "scopes": "admin", "key_id": "boot"}
    unlimited = {"limits": '{"requests":[],"runs":[],"tokens":null,"cost_usd":null}'}
    start = server("RunStreamStart")
    task = {"agent_id": agent["id"], "input_message": "Good morning"}
    headers = context("/runs/stream", **speaks, **unlimited)
    with start.stream("POST", "/runs/stream", json=task, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert "server" not in answer.headers
        events = events_in("".join(answer.iter_text()))
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][1] == "result"
    follow = server("RunStreamFollow")
    path = f"/runs/{events[0][2]['run_id']}/stream"
    headers = context("/runs/{run_id}/stream", **speaks, **unlimited)
    for after in range(len(events) + 1):
        answer = follow.get(path, headers=headers | {"Last-Event-ID": str(after)})
        assert events_in(answer.text) == events[after:]


def test_who_calls_is_what_the_adapter_says_and_nothing_else(server: Server) -> None:
    for logical_id, method, path in (
        ("RunStreamStart", "POST", "/runs/stream"),
        ("RunStreamFollow", "GET", "/runs/x/stream"),
    ):
        client = server(logical_id)
        answer = client.request(method, path, headers={"X-API-Key": "tenant_a", "x-amz-tenant-id": "tenant_a"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        # All that the gateway lets through, and an authorizer that had much to say.
        large = context(path, tenant_id="tenant_a", scopes="nothing", words="w" * 20_000) | {"x-large": "x" * 10_000}
        answer = client.request(method, path, headers=large)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
