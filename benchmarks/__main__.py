"""`make bench`: measure, then write docs/performance.md and benchmarks/results.json. BENCH_QUICK=1 samples less."""

import datetime
import os
import platform as machine
from importlib.metadata import version
from pathlib import Path

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import cold_start, latency, packages, page
from benchmarks.platform import running

_STEPS = 10


def main() -> None:
    requests = 200 if os.environ.get("BENCH_QUICK") else 1_000
    columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("packages", total=_STEPS + cold_start.steps())

        def progress(name: str) -> None:
            bar.update(task, advance=1, description=name)

        packed = packages.measure()
        starts = cold_start.measure(progress)
        progress("platform started")
        with running() as platform:
            rows = latency.measure(platform, requests, progress)
            memory = _memory_mb(platform.pid)
            start_seconds = platform.start_seconds
    results = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, Python {machine.python_version()}, {machine.system()}",
        "versions": {name: version(name) for name in ("ministack", "aws-lambda-powertools", "openai", "boto3")},
        "start_seconds": round(start_seconds, 1),
        "memory_mb": memory,
        "latency": rows,
        "packages": packed,
        "cold_start": starts,
    }
    print(page.write(results))


def _memory_mb(pid: int) -> int:
    """Proportional memory (PSS) of the platform and its emulator, in MB."""
    tree = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    total = 0
    for process in tree:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return round(total / 1024)


if __name__ == "__main__":
    main()
