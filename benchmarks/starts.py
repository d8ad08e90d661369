"""How long until `make run` answers, and how much memory it takes then? `python -m benchmarks.starts` measures this."""

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import part, timing
from benchmarks.platform import running

ROUNDS, QUICK_ROUNDS = 7, 1
NEW, AGAIN = "an empty data folder", "the same folder again"


def steps() -> int:
    """How often `measure` tells its progress."""
    return part.rounds(ROUNDS, QUICK_ROUNDS)


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Start the platform with an empty folder, then with what that start left, several times."""
    rounds = steps()
    seconds: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[dict[str, int]]] = defaultdict(list)
    for number in range(rounds):
        progress(f"starts, round {number + 1} of {rounds}")
        with tempfile.TemporaryDirectory() as folder:
            for name in (NEW, AGAIN):
                with running(folder=Path(folder)) as platform:
                    seconds[name].append(platform.start_seconds)
                    memory[name].append(platform.memory_mb())
    rows = [{"name": name} | _row(seconds[name], memory[name]) for name in (NEW, AGAIN)]
    return part.about() | {"rounds": rounds, "rows": rows}


def _row(seconds: list[float], memory: list[dict[str, int]]) -> dict[str, Any]:
    together = [sum(one.values()) for one in memory]
    return {
        "seconds": round(statistics.median(seconds), 2),
        "seconds_spread": timing.spread(seconds, 2),
        "memory_mb": round(statistics.median(together)),
        "memory_spread": timing.spread(together, 0),
        "by_process_mb": {name: round(statistics.median(one[name] for one in memory)) for name in memory[0]},
    }


def main() -> None:
    part.alone("start", steps(), measure)


if __name__ == "__main__":
    main()
