"""`make load`: document 1's load test, 20 clients for 30 seconds of mixed work.

Without `URL` and `KEY` it starts a platform of its own; with them it goes to that one, a deployed one too. The exit
code is 1 if any answer was a 5xx or none at all; 429 is an answer and is counted beside.
"""

import argparse
import collections
import http.client
import itertools
import json
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.platform import running

_NUMBERS = itertools.count(1)


@dataclass(slots=True)
class Tally:
    """What one operation did."""

    seconds: list[float] = field(default_factory=list)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)

    def add(self, seconds: float, status: int) -> None:
        self.seconds.append(seconds)
        self.statuses[status] += 1

    @property
    def failed(self) -> int:
        """Answers that no client should ever get: 5xx, and none (0)."""
        return sum(count for status, count in self.statuses.items() if status >= 500 or status == 0)


class Client:
    """One keep-alive connection that measures what it sends."""

    def __init__(self, url: str, key: str, tallies: dict[str, Tally]) -> None:
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.netloc, timeout=60)
        self._base, self._tallies = parts.path.rstrip("/"), tallies
        self._headers = {"X-API-Key": key, "Content-Type": "application/json"}
        self.agents: list[str] = []
        self.runs: list[str] = []

    def send(self, name: str, method: str, path: str, body: Any = None) -> Any:
        begun = time.perf_counter()
        try:
            payload = None if body is None else json.dumps(body)
            self._connection.request(method, self._base + path, payload, self._headers)
            answer = self._connection.getresponse()
            text, status = answer.read(), answer.status
        except (OSError, http.client.HTTPException):
            self._connection.close()
            text, status = b"", 0
        self._tallies[name].add(time.perf_counter() - begun, status)
        return json.loads(text) if text and status < 300 else None


def _create(client: Client) -> None:
    made = client.send("POST /agents", "POST", "/agents", {"name": f"load {os.getpid()} {next(_NUMBERS)}"})
    if made:
        client.agents.append(made["id"])


def _run(client: Client) -> None:
    task = {"agent_id": random.choice(client.agents), "input_message": "Good morning"}
    run = client.send("POST /runs", "POST", "/runs", task)
    if run:
        client.runs.append(run["id"])


def _read(client: Client) -> None:
    client.send("GET /agents/{id}", "GET", f"/agents/{random.choice(client.agents)}")


def _list(client: Client) -> None:
    client.send("GET /agents", "GET", "/agents?limit=20")


def _change(client: Client) -> None:
    path = f"/agents/{random.choice(client.agents)}"
    client.send("PATCH /agents/{id}", "PATCH", path, {"description": f"changed {time.time()}"})


def _read_run(client: Client) -> None:
    if client.runs:
        client.send("GET /runs/{id}", "GET", f"/runs/{random.choice(client.runs)}")


# Kind of work and its share.
_WORK: dict[Callable[[Client], None], int] = {_read: 40, _list: 15, _create: 10, _change: 10, _run: 10, _read_run: 15}


def _work(client: Client, until: float) -> None:
    _create(client)
    kinds, shares = list(_WORK), list(_WORK.values())
    while time.monotonic() < until:
        if not client.agents:
            _create(client)
            continue
        random.choices(kinds, shares)[0](client)


def _load(url: str, key: str, clients: int, seconds: int) -> tuple[dict[str, Tally], float]:
    """Tallies by operation, and how long it took."""
    tallies: dict[str, Tally] = collections.defaultdict(Tally)
    begun = time.monotonic()
    threads = [
        threading.Thread(target=_work, args=(Client(url, key, tallies), begun + seconds), daemon=True)
        for _ in range(clients)
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[done]}"))
    with Progress(*columns) as bar:
        task = bar.add_task(f"{clients} clients, {seconds} s", total=seconds, done="")
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.2)
            total = sum(len(tally.seconds) for tally in list(tallies.values()))
            bar.update(task, completed=min(seconds, time.monotonic() - begun), done=f"{total} requests")
    return tallies, time.monotonic() - begun


def _table(tallies: dict[str, Tally], seconds: float) -> Table:
    table = Table(title="times in ms", box=box.SIMPLE)
    for name in ("operation", "requests", "per s", "p50", "p95", "p99", "429", "4xx", "5xx"):
        table.add_column(name, justify="left" if name == "operation" else "right", no_wrap=True)
    everything = Tally()
    for tally in tallies.values():
        everything.seconds += tally.seconds
        everything.statuses += tally.statuses
    for name, tally in [*sorted(tallies.items()), ("all", everything)]:
        cuts = statistics.quantiles(tally.seconds, n=100) if len(tally.seconds) > 1 else [*tally.seconds] * 99
        refused = tally.statuses[429]
        other = sum(n for status, n in tally.statuses.items() if 400 <= status < 500) - refused
        table.add_row(
            name,
            str(len(tally.seconds)),
            f"{len(tally.seconds) / seconds:.1f}",
            *(f"{cuts[n - 1] * 1000:.1f}" for n in (50, 95, 99)),
            *(str(n) for n in (refused, other, tally.failed)),
        )
    return table


@contextmanager
def _target() -> Iterator[tuple[str, str]]:
    """The platform to load, and a key for it."""
    url, key = os.environ.get("URL"), os.environ.get("KEY")
    if url and key:
        yield url, key
        return
    with running() as platform:
        yield f"http://127.0.0.1:{platform.port}", platform.key


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with _target() as (url, key):
        tallies, seconds = _load(url, key, options.clients, options.seconds)
    Console().print(_table(tallies, seconds))
    return 1 if any(tally.failed for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
