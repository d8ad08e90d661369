"""SIGKILL in the middle of a run: afterwards the run ends once, and no call is made twice that may not be."""

import contextlib
import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.console import Console
from tests.integration.neighbours import Neighbours, asks, says, tells
from tests.unit.support.stream import events_in

_PATIENCE_SECONDS = 90
ENDED = {"succeeded", "failed", "timed_out", "cancelled"}


class Platform:
    """A platform in a process of its own, started and killed as often as wanted on one data folder."""

    def __init__(self, folder: Path, port: int, neighbours: Neighbours) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.console: Console
        self.key: dict[str, str] = {}
        self._start = partial(
            Console,
            folder,
            port,
            SYNC_WAIT_SECONDS="2",
            CUSTOM_BASE_URL=f"{neighbours.url}/v1",
            CUSTOM_API_KEY="scripted",
            TOOL_PRIVATE_HOSTS=f"127.0.0.1:{neighbours.port}",
        )

    def start(self) -> None:
        self.console = self._start()
        self.console.wait_until_ready()
        self.key = {"X-API-Key": self.console.admin_key()}

    def kill(self) -> None:
        self.console.kill()

    def stop(self) -> None:
        if self.console.process.poll() is None:
            self.console.process.terminate()
            self.console.ended()

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path, headers=self.key, timeout=60).json()

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, headers=self.key | headers, json=body, timeout=60)


@pytest.fixture(scope="module")
def killable(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], neighbours: Neighbours
) -> Iterator[Platform]:
    """One platform for all tests here: each leaves it running, but for the last."""
    running = Platform(tmp_path_factory.mktemp("console"), free_port(), neighbours)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def make(killable: Platform, neighbours: Neighbours, name: str, path: str, *, idempotent: bool) -> None:
    """A tool and an agent whose model calls it once."""
    tool = {"name": name, "endpoint": f"{neighbours.url}{path}", "idempotent": idempotent}
    tool_id = killable.post("/tools", tool).json()["id"]
    neighbours.script[name] = [asks((name, {})), says("the end")]
    agent = {"name": name, "model": f"custom:{name}", "tool_ids": [tool_id]}
    assert killable.post("/agents", agent).status_code == 201


def begin(killable: Platform, name: str, **fields: Any) -> threading.Thread:
    """Start a run and let go of it: the platform will be killed under the request."""

    def send() -> None:
        with contextlib.suppress(httpx.HTTPError, json.JSONDecodeError):
            killable.post("/runs", {"agent_id": name, "input_message": "go"} | fields)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.05)


def ended_run(killable: Platform, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The only run of an agent, once it has ended, and its events."""
    agent_id = killable.get(f"/agents/{name}")["id"]

    def found() -> list[dict[str, Any]]:
        return [run for run in killable.get("/runs") if run["agent_id"] == agent_id]

    eventually(lambda: bool(found()) and found()[0]["status"] in ENDED)
    (run,) = found()
    return run, killable.get(f"/runs/{run['id']}/events")


def log_of(platform: Platform, run_id: str) -> list[dict[str, Any]]:
    """All events of a run, page by page."""
    events: list[dict[str, Any]] = []
    while page := platform.get(f"/runs/{run_id}/events?limit=100&after={len(events)}"):
        events += page
    return events


def ended_once(events: list[dict[str, Any]]) -> bool:
    numbers = [event["id"] for event in events]
    ends = [event["event"] for event in events if event["event"] in {"result", "error", "cancelled"}]
    return numbers == list(range(1, len(events) + 1)) and len(ends) == 1 and events[-1]["event"] == ends[0]


@pytest.mark.parametrize(("idempotent", "calls", "status"), [(False, 1, "unknown"), (True, 2, "succeeded")])
def test_killed_while_a_tool_is_called(
    killable: Platform, neighbours: Neighbours, idempotent: bool, calls: int, status: str
) -> None:
    name = f"gate_{idempotent}".lower()
    path = f"/tool/gate/{name}"
    make(killable, neighbours, name, path, idempotent=idempotent)
    begin(killable, name)
    eventually(lambda: neighbours.calls(path) == 1)
    killable.kill()
    neighbours.gate(path).set()
    killable.start()
    run, events = ended_run(killable, name)
    assert ended_once(events)
    assert (run["status"], run["output_message"]) == ("succeeded", "the end")
    assert [called["status"] for called in run["tools_called"]] == [status]
    assert neighbours.calls(path) == calls
    keys = {headers["idempotency-key"] for headers, _ in neighbours.seen[path]}
    assert keys == {f"{run['id']}:call_1"}


def test_killed_while_the_model_thinks(killable: Platform, neighbours: Neighbours) -> None:
    neighbours.script["thinker"] = [says("lost", gate="thinker"), says("found")]
    assert killable.post("/agents", {"name": "thinker", "model": "custom:thinker"}).status_code == 201
    begin(killable, "thinker")
    eventually(lambda: neighbours.asked("thinker") == 1)
    killable.kill()
    neighbours.gate("thinker").set()
    killable.start()
    run, events = ended_run(killable, "thinker")
    assert ended_once(events)
    assert (run["status"], run["output_message"]) == ("succeeded", "found")


def test_a_background_run_outlives_the_host(killable: Platform, neighbours: Neighbours) -> None:
    path = "/tool/gate/background"
    make(killable, neighbours, "background", path, idempotent=False)
    answer = killable.post("/runs", {"agent_id": "background", "input_message": "go"}, Prefer="respond-async")
    assert answer.status_code == 202
    eventually(lambda: neighbours.calls(path) == 1)
    killable.kill()
    neighbours.gate(path).set()
    killable.start()
    run, events = ended_run(killable, "background")
    assert run["id"] == answer.json()["id"]
    assert ended_once(events)
    assert (run["status"], run["output_message"]) == ("succeeded", "the end")
    assert [called["status"] for called in run["tools_called"]] == ["unknown"]
    assert neighbours.calls(path) == 1


def test_a_queue_outlives_the_host(killable: Platform, neighbours: Neighbours) -> None:
    """Killed while one run is at work and two wait, and again when the next is at work: each comes to its end, once."""
    path = "/tool/gate/queue"
    make(killable, neighbours, "queue", path, idempotent=True)
    answers = [says("the first"), says("never heard", gate="the second"), says("the second"), says("the third")]
    neighbours.script["queue"] = [asks(("queue", {})), *answers]
    task = {"agent_id": "queue", "input_message": "go", "session_id": "queue", "on_conflict": "enqueue"}
    ids = [killable.post("/runs", task, Prefer="respond-async").json()["id"] for _ in range(3)]
    eventually(lambda: neighbours.calls(path) == 1)
    killable.kill()
    neighbours.gate(path).set()
    killable.start()
    eventually(lambda: neighbours.asked("queue") == 3)
    assert killable.get(f"/runs/{ids[0]}")["status"] == "succeeded"
    killable.kill()
    neighbours.gate("the second").set()
    killable.start()
    eventually(lambda: all(killable.get(f"/runs/{run_id}")["status"] in ENDED for run_id in ids))
    runs = [killable.get(f"/runs/{run_id}") for run_id in ids]
    assert [run["output_message"] for run in runs] == ["the first", "the second", "the third"]
    assert [run["status"] for run in runs] == ["succeeded"] * 3
    assert all(ended_once(killable.get(f"/runs/{run_id}/events")) for run_id in ids)
    for before, after in itertools.pairwise(runs):
        assert before["finished_at"] <= after["started_at"]
    assert killable.get("/sessions/queue")["status"] == "idle"


def test_killed_while_a_run_is_streamed(killable: Platform, neighbours: Neighbours) -> None:
    """The stream breaks off; after the restart it is resumed, and the next attempt of the answer is the whole one."""
    words = [f"{n} " for n in range(100)]
    neighbours.script["narrator"] = [tells(*words, pause=0.05, held=(20, "narrator")), tells(*words)]
    assert killable.post("/agents", {"name": "narrator", "model": "custom:narrator"}).status_code == 201
    task = {"agent_id": "narrator", "input_message": "go"}
    seen = ""
    with (
        contextlib.suppress(httpx.HTTPError),
        httpx.stream("POST", f"{killable.url}/runs/stream", headers=killable.key, json=task, timeout=60) as response,
    ):
        for text in response.iter_text():
            seen += text
            if seen.count("message.delta") >= 10:
                killable.kill()
                break
    neighbours.gate("narrator").set()
    events = events_in(seen)
    assert events[-1][1] == "message.delta"
    killable.start()
    run_id, last = events[0][2]["run_id"], {"Last-Event-ID": str(events[-1][0])}
    rest = httpx.get(f"{killable.url}/runs/{run_id}/stream", headers=killable.key | last, timeout=60)
    events += events_in(rest.text)
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert [name for _, name, _ in events].count("result") == 1
    assert events[-1][2]["output"] == "".join(words)
    deltas = [data for _, name, data in events if name == "message.delta"]
    assert "".join(data["content"] for data in deltas if data["attempt"] == 2) == "".join(words)
    assert "".join(words).startswith("".join(data["content"] for data in deltas if data["attempt"] == 1))


def test_killed_again_and_again_at_any_moment(killable: Platform, neighbours: Neighbours) -> None:
    """Whatever was written when the host died: every run ends once, with whole numbers and no second call."""
    path = "/tool/echo"
    for n in range(3):
        name = f"victim_{n}"
        make(killable, neighbours, name, path, idempotent=False)
        before = neighbours.calls(path)
        # Killed before its machine was started, a run has nothing but its deadline to end it.
        begin(killable, name, limits={"max_seconds": 10})
        time.sleep(0.02 + 0.03 * n)
        killable.kill()
        killable.start()
        eventually(lambda: all(run["status"] in ENDED for run in killable.get("/runs")))
        assert neighbours.calls(path) - before <= 1
    for run in killable.get("/runs"):
        assert killable.get(f"/runs/{run['id']}")["status"] == run["status"]
        assert ended_once(log_of(killable, run["id"]))


def test_a_run_that_takes_longer_than_we_wait_goes_on(killable: Platform, neighbours: Neighbours) -> None:
    neighbours.script["slow"] = [says("at last", gate="slow")]
    assert killable.post("/agents", {"name": "slow", "model": "custom:slow"}).status_code == 201
    answer = killable.post("/runs", {"agent_id": "slow", "input_message": "go"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "running"
    location = answer.headers["Location"]
    neighbours.gate("slow").set()
    eventually(lambda: killable.get(location)["status"] == "succeeded")
    assert killable.get(location)["output_message"] == "at last"


def test_a_dead_emulator_is_one_clear_line(killable: Platform) -> None:
    os.kill(killable.console.emulator(), signal.SIGKILL)
    code, errors = killable.console.ended()
    assert code == 1
    assert re.fullmatch(r"error: .*emulator.*\n", errors), errors
