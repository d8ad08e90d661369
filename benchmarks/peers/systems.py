"""What is compared: how each system is started, asked for a run, and asked what it knows of it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks import floor, latency, platform
from benchmarks.client import Client
from benchmarks.memory import pss_mb
from benchmarks.peers import installed
from benchmarks.ports import free_ports

_SERVERS = Path(__file__).parent / "servers"
_START_SECONDS = 60.0
_SAID = 'The tool says: {"echo":{"text":"hello"}}'


class Unfit(Exception):
    """A peer that does not start, or does not do what it is asked for."""


@dataclass(frozen=True, slots=True)
class System:
    """A server that runs an agent.

    Attributes:
        run: asks for a one-tool run, and gives the path of what is known of it.
        pid: the process whose memory counts, with its descendants.
    """

    url: str
    run: Callable[[Client], str]
    pid: int
    start_seconds: float
    headers: Mapping[str, str]

    def connect(self) -> Client:
        return Client(self.url, self.headers)

    def memory_mb(self) -> int:
        return sum(pss_mb(self.pid))


@dataclass(frozen=True, slots=True)
class Peer:
    """Another system.

    Attributes:
        name: of its requirements file and its server.
        package: the one whose version says which it is.
        ready: answered with 200 as soon as it serves.
        slow: takes so long for a run that fewer must do.
    """

    title: str
    name: str
    package: str
    ready: str
    run: Callable[[Client], str]
    headers: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    slow: bool = False

    @contextmanager
    def running(self, stub: str) -> Iterator[System]:
        """The peer, while it serves.

        Raises:
            CannotInstall: its packages are not to be had.
            Unfit: it does not start.
        """
        python = installed.python(self.name)
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        with tempfile.TemporaryDirectory() as folder:
            for file in _SERVERS.glob("*.*"):
                shutil.copy(file, folder)
            environment = os.environ | {"STUB": stub, "DATA": folder, "PORT": str(port), "LANGSMITH_TRACING": "false"}
            environment.pop("PYTHONPATH", None)
            command = [str(python), *(part.format(port=port) for part in self.command or (f"{self.name}.py",))]
            begun = time.monotonic()
            log = Path(folder) / "log"
            with log.open("wb") as output:
                process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
            try:
                if not _serves(url + self.ready, process):
                    raise Unfit((log.read_text(errors="replace").strip().splitlines() or ["it did not start"])[-1])
                yield System(url, self.run, process.pid, time.monotonic() - begun, self.headers)
            finally:
                process.terminate()
                process.wait(timeout=30)


def _serves(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until it answers; False if it never does."""
    base, _, path = url.partition("://")[2].partition("/")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        client = Client(f"http://{base}")
        try:
            client.send("GET", f"/{path}")
        except (OSError, RuntimeError, ValueError):
            time.sleep(0.02)
        else:
            return True
        finally:
            client.close()
    return False


@contextmanager
def ours(stub: str) -> Iterator[System]:
    """The platform."""
    with platform.running(stub) as running:
        agent = latency.one_tool_agent(running, stub, "bench")
        headers = {"X-API-Key": running.key}
        url = f"http://127.0.0.1:{running.port}"
        yield System(
            url, lambda client: f"/runs/{latency.run_once(client, agent)}", running.pid, running.start_seconds, headers
        )


def _agno(client: Client) -> str:
    answer = client.send("POST", "/agents/bench/runs", urlencode({"message": floor.PROMPT, "stream": "false"}))
    _check(answer["content"])
    return f"/agents/bench/runs/{answer['run_id']}?session_id={answer['session_id']}"


def _pydantic_ai(client: Client) -> str:
    answer = client.send("POST", "/runs", {"input_message": floor.PROMPT})
    _check(answer["output"])
    return f"/runs/{answer['id']}"


def _langgraph(client: Client) -> str:
    thread = uuid.uuid4()
    said = {"messages": [{"role": "user", "content": floor.PROMPT}]}
    task = {"assistant_id": "bench", "if_not_exists": "create", "input": said}
    answer = client.send("POST", f"/threads/{thread}/runs/wait", task)
    _check(answer["messages"][-1]["content"])
    return f"/threads/{thread}"


def _check(said: Any) -> None:
    if said != _SAID:
        raise RuntimeError(f"not a one-tool run: {json.dumps(said)}")


PEERS = (
    Peer(
        "Agno AgentOS",
        "agno_os",
        "agno",
        "/health",
        _agno,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Peer("FastAPI + pydantic-ai + SQLite", "fastapi_pydantic_ai", "pydantic-ai-slim", "/openapi.json", _pydantic_ai),
    Peer(
        "LangGraph dev server",
        "langgraph_dev",
        "langgraph-api",
        "/ok",
        _langgraph,
        command=(
            "-m",
            "langgraph_cli",
            "dev",
            "--no-browser",
            "--no-reload",
            "--n-jobs-per-worker",
            "16",
            "--port",
            "{port}",
        ),
        slow=True,
    ),
)
