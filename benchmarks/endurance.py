"""What is left of 10,000 runs, in memory, on disk and in how long the next one takes? `python -m benchmarks.endurance`
measures this alone; the number of runs can follow."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import latency, memory, part, timing
from benchmarks.client import Client
from benchmarks.platform import Platform, running

RUNS, QUICK_RUNS = 10_000, 200
MARKS, QUICK_MARKS = 10, 1
_CLIENTS, _SAMPLES = 8, 30
# The platform saves its state seconds after a change; then the sizes of memory and folder mean something.
_QUIET_SECONDS = 6


def steps() -> int:
    """How often `measure` tells its progress."""
    return part.rounds(MARKS, QUICK_MARKS) + 1


def measure(
    platform: Platform, stub: str, progress: Callable[[str], None], runs: int = part.rounds(RUNS, QUICK_RUNS)
) -> dict[str, Any]:
    """Let many one-tool runs pass by 8 clients, and look at every tenth of them.

    Returns:
        A mark for each tenth, and one before the first: runs so far, memory, size of the data folder, and p50 of
        runs and reads by one client.
    """
    marks = steps() - 1
    agent = latency.one_tool_agent(platform, stub, "enduring")
    found = []
    for number in range(marks + 1):
        progress(f"endurance, {runs * number // marks} of {runs} runs")
        if number:
            timing.sample(
                lambda client: latency.run_once(client, agent),
                platform.client,
                Client.close,
                _CLIENTS,
                runs // marks,
            )
        found.append({"runs": runs * number // marks} | _mark(platform, agent))
    return part.about() | {"marks": found}


def _mark(platform: Platform, agent: str) -> dict[str, Any]:
    def p50(operation: Callable[[Client], object]) -> float:
        done = timing.sample(operation, platform.client, Client.close, 1, _SAMPLES)
        return round(statistics.median(done.times_ms), 2)

    times = {
        "run_p50_ms": p50(lambda client: latency.run_once(client, agent)),
        "read_p50_ms": p50(lambda client: client.send("GET", f"/agents/{agent}")),
    }
    time.sleep(_QUIET_SECONDS)
    sizes = {file.name: round(file.stat().st_size / 1e6, 1) for file in platform.folder.glob("*.log")}
    return times | {
        "memory_mb": platform.memory_mb(),
        "folder_mb": memory.folder_mb(platform.folder),
        "logs_mb": round(sum(sizes.values()), 1),
    }


def main() -> None:
    from benchmarks import stub

    runs = int(sys.argv[1]) if len(sys.argv) > 1 else part.rounds(RUNS, QUICK_RUNS)
    with stub.running() as model, running(model) as platform:
        part.alone("endurance", steps(), lambda progress: measure(platform, model, progress, runs))


if __name__ == "__main__":
    main()
