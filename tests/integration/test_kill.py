"""SIGKILL in the middle of a run: afterwards the run ends once, and no call is made twice that may not be."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.neighbours import Neighbours, asks, says

KEY = {"X-API-Key": "tenant_a"}
ENDED = {"succeeded", "failed", "timed_out", "cancelled"}


class Console:
    """`python -m local` in a process of its own, started and killed as often as wanted on one data folder."""

    def __init__(self, folder: Path, port: int, neighbours: Neighbours) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._environment = os.environ | {
            "PORT": str(port),
            "LOCAL_DATA_DIR": str(folder),
            "PYTHONUNBUFFERED": "1",
            "SYNC_WAIT_SECONDS": "2",
            "CUSTOM_BASE_URL": f"{neighbours.url}/v1",
            "CUSTOM_API_KEY": "scripted",
            "TOOL_PRIVATE_HOSTS": f"127.0.0.1:{neighbours.port}",
        }
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"], env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        seen = ""
        while line := self.process.stdout.readline():
            seen += line
            if re.search("Ctrl-C stops it", line):
                return
        raise AssertionError(f"the platform did not start:\n{seen}")

    def emulator_pid(self) -> int:
        assert self.process is not None
        pid = self.process.pid
        (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def kill(self) -> None:
        """SIGKILL to the host, and wait until the emulator, which saves itself, is gone too."""
        assert self.process is not None
        emulator = self.emulator_pid()
        self.process.send_signal(signal.SIGKILL)
        self._reap()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{emulator}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{emulator}").exists()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self._reap()

    def _reap(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, headers=KEY, timeout=30).json()

    def post(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(self.url + path, headers=KEY, json=body, timeout=30)


@pytest.fixture(scope="module")
def console(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], neighbours: Neighbours
) -> Iterator[Console]:
    """One platform for all tests here: each leaves it running, but for the last."""
    running = Console(tmp_path_factory.mktemp("console"), free_port(), neighbours)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def make(console: Console, neighbours: Neighbours, name: str, path: str, *, idempotent: bool) -> None:
    """A tool and an agent whose model calls it once."""
    tool = {"name": name, "endpoint": f"{neighbours.url}{path}", "idempotent": idempotent}
    tool_id = console.post("/tools", tool).json()["id"]
    neighbours.script[name] = [asks((name, {})), says("the end")]
    agent = {"name": name, "model": f"custom:{name}", "tool_ids": [tool_id]}
    assert console.post("/agents", agent).status_code == 201


def begin(console: Console, name: str) -> threading.Thread:
    """Start a run and let go of it: the platform will be killed under the request."""

    def send() -> None:
        with contextlib.suppress(httpx.HTTPError, json.JSONDecodeError):
            console.post("/runs", {"agent_id": name, "input_message": "go"})

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def eventually(check: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


def ended_run(console: Console, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The only run of an agent, once it has ended, and its events."""
    agent_id = console.get(f"/agents/{name}")["id"]

    def found() -> list[dict[str, Any]]:
        return [run for run in console.get("/runs") if run["agent_id"] == agent_id]

    eventually(lambda: bool(found()) and found()[0]["status"] in ENDED, 40)
    (run,) = found()
    return run, console.get(f"/runs/{run['id']}/events")


def ended_once(events: list[dict[str, Any]]) -> bool:
    numbers = [event["id"] for event in events]
    ends = [event["event"] for event in events if event["event"] in {"result", "error", "cancelled"}]
    return numbers == list(range(1, len(events) + 1)) and len(ends) == 1 and events[-1]["event"] == ends[0]


@pytest.mark.parametrize(("idempotent", "calls", "status"), [(False, 1, "unknown"), (True, 2, "succeeded")])
def test_killed_while_a_tool_is_called(
    console: Console, neighbours: Neighbours, idempotent: bool, calls: int, status: str
) -> None:
    name = f"gate_{idempotent}".lower()
    path = f"/tool/gate/{name}"
    make(console, neighbours, name, path, idempotent=idempotent)
    begin(console, name)
    eventually(lambda: neighbours.calls(path) == 1)
    console.kill()
    neighbours.gates[path].set()
    console.start()
    run, events = ended_run(console, name)
    assert ended_once(events)
    assert (run["status"], run["output_message"]) == ("succeeded", "the end")
    assert [called["status"] for called in run["tools_called"]] == [status]
    assert neighbours.calls(path) == calls
    keys = {headers["idempotency-key"] for headers, _ in neighbours.seen[path]}
    assert keys == {f"{run['id']}:call_1"}


def test_killed_while_the_model_thinks(console: Console, neighbours: Neighbours) -> None:
    before = neighbours.calls("/v1/chat/completions")
    neighbours.script["thinker"] = [says("lost", delay=3), says("found")]
    assert console.post("/agents", {"name": "thinker", "model": "custom:thinker"}).status_code == 201
    begin(console, "thinker")
    eventually(lambda: neighbours.calls("/v1/chat/completions") == before + 1)
    console.kill()
    console.start()
    run, events = ended_run(console, "thinker")
    assert ended_once(events)
    assert (run["status"], run["output_message"]) == ("succeeded", "found")


def test_killed_again_and_again_at_any_moment(console: Console, neighbours: Neighbours) -> None:
    """Whatever was written when the host died: every run ends once, with whole numbers and no second call."""
    path = "/tool/echo"
    for n in range(3):
        name = f"victim_{n}"
        make(console, neighbours, name, path, idempotent=False)
        before = neighbours.calls(path)
        begin(console, name)
        time.sleep(0.02 + 0.03 * n)
        console.kill()
        console.start()
        eventually(lambda: all(run["status"] in ENDED for run in console.get("/runs")), 40)
        assert neighbours.calls(path) - before <= 1
    for run in console.get("/runs"):
        assert ended_once(console.get(f"/runs/{run['id']}/events"))


def test_a_run_that_takes_longer_than_we_wait_goes_on(console: Console, neighbours: Neighbours) -> None:
    neighbours.script["slow"] = [says("at last", delay=3.5)]
    assert console.post("/agents", {"name": "slow", "model": "custom:slow"}).status_code == 201
    begun = time.monotonic()
    answer = console.post("/runs", {"agent_id": "slow", "input_message": "go"})
    assert time.monotonic() - begun < 3.4
    assert answer.status_code == 202
    assert answer.json()["status"] == "running"
    location = answer.headers["Location"]
    eventually(lambda: console.get(location)["status"] == "succeeded", 10)
    assert console.get(location)["output_message"] == "at last"


def test_a_dead_emulator_is_one_clear_line(console: Console) -> None:
    os.kill(console.emulator_pid(), signal.SIGKILL)
    assert console.process is not None
    assert console.process.wait(timeout=20) != 0
