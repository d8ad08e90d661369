"""How long do a read, a list, a create and a one-tool run take on the local platform, with 1 and with 16 clients?

The model and the tool answer at once (the local stand-ins), so what is measured is the platform and the emulator.
"""

import itertools
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import openai

from benchmarks.platform import Client, Platform

Operation = Callable[[Client], object]
WARM_UP = 10
FLOOR = "no platform: 2 openai calls, 1 tool call"


@dataclass(frozen=True, slots=True)
class Result:
    """Times in milliseconds; throughput in requests a second."""

    operation: str
    clients: int
    requests: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float


def measure(platform: Platform, requests: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure every operation.

    Args:
        requests: per operation and number of clients; runs take a fifth of it.
        progress: called with the name of what was measured.
    """
    results = [asdict(_measure(platform, FLOOR, _floor(platform), 1, max(20, requests // 5)))]
    progress(FLOOR)
    for name, operation in _operations(platform).items():
        for clients in (1, 16):
            wanted = max(20, requests // 5 if name.startswith("POST /runs") else requests)
            results.append(asdict(_measure(platform, name, operation, clients, wanted)))
            progress(f"{name}, {clients} clients")
    return results


def _floor(platform: Platform) -> Operation:
    """What a one-tool run costs a program that keeps nothing: two calls of the SDK and one of the tool."""
    model = openai.OpenAI(base_url=f"{platform.tools_url}/v1", api_key="offline", max_retries=0)
    tool = urllib.request.Request(f"{platform.tools_url}/echo", json.dumps({"text": "hello"}).encode())

    def loop(_client: Client) -> None:
        for _ in range(2):
            model.chat.completions.create(model="gpt-4o-mini", messages=[{"role": "user", "content": "hello"}])
        urllib.request.urlopen(tool).read()

    return loop


def _operations(platform: Platform) -> dict[str, Operation]:
    setup = platform.client()
    tool = setup.send("POST", "/tools", {"name": "bench_echo", "endpoint": f"{platform.tools_url}/echo"})
    agent = setup.send("POST", "/agents", {"name": "bench", "status": "published", "tool_ids": [tool["id"]]})
    for n in range(60):
        setup.send("POST", "/agents", {"name": f"filler {n}"})
    setup.close()
    number = itertools.count()
    run = {"agent_id": agent["id"], "input_message": 'Use bench_echo to say "hello"'}

    def run_once(client: Client) -> None:
        answer = client.send("POST", "/runs", run)
        if answer["status"] != "succeeded" or len(answer["tools_called"]) != 1:
            raise RuntimeError(f"not a one-tool run: {answer}")

    return {
        "GET /agents/{id}": lambda client: client.send("GET", f"/agents/{agent['id']}"),
        "GET /agents?limit=50": lambda client: client.send("GET", "/agents?limit=50"),
        "POST /agents": lambda client: client.send("POST", "/agents", {"name": f"made {next(number)}"}),
        "POST /runs (one tool)": run_once,
    }


def _measure(platform: Platform, name: str, operation: Operation, clients: int, requests: int) -> Result:
    times: list[float] = []
    failures: list[Exception] = []
    start = threading.Barrier(clients + 1)

    def work() -> None:
        client = platform.client()
        try:
            for _ in range(max(1, WARM_UP // clients)):
                operation(client)
            start.wait()
            for _ in range(requests // clients):
                begun = time.perf_counter()
                operation(client)
                times.append((time.perf_counter() - begun) * 1000)
        except (RuntimeError, OSError, threading.BrokenBarrierError) as error:
            failures.append(error)
            start.abort()
        finally:
            client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        start.wait()
    except threading.BrokenBarrierError:
        raise failures[0] from None
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if failures:
        raise failures[0]
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return Result(
        operation=name,
        clients=clients,
        requests=len(times),
        p50_ms=round(statistics.median(times), 2),
        p95_ms=round(cuts[94], 2),
        p99_ms=round(cuts[98], 2),
        per_second=round(len(times) / seconds, 1),
    )
