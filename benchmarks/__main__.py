"""`make bench`: measure, then write docs/performance.md and benchmarks/results.json. BENCH_QUICK=1 samples less."""

import datetime
import json
import os
import platform as machine
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import latency
from benchmarks.platform import running

ROOT = Path(__file__).parent.parent
_STEPS = 9


def main() -> None:
    requests = 200 if os.environ.get("BENCH_QUICK") else 1_000
    columns = (TextColumn("{task.description:<40}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar, running() as platform:
        task = bar.add_task("platform started", total=_STEPS)

        def progress(name: str) -> None:
            bar.update(task, advance=1, description=name)

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
    }
    (ROOT / "benchmarks/results.json").write_text(json.dumps(results, indent=2) + "\n")
    text = _page(results)
    (ROOT / "docs/performance.md").write_text(text)
    print(text)


def _memory_mb(pid: int) -> int:
    """Proportional memory (PSS) of the platform and its emulator, in MB."""
    tree = [pid, *(int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    total = 0
    for process in tree:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return round(total / 1024)


def _page(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    lines = [
        "# Performance of the local platform",
        "",
        "Written by `make bench`; do not edit. Method: `python -m local` in a process of its own with an empty data",
        "folder; clients are threads of another process, each with one keep-alive connection; model and tool answer at",
        "once; 10 requests of warm-up, then the number given. Percentiles over all requests of a row. Client, platform",
        "and emulator share the machine's cores, so times move with the machine; compare them with the first row: the",
        "calls of a one-tool run, in the same minutes, without a platform.",
        "",
        f"{results['date']}, {results['machine']}; {versions}.",
        f"Process start to serving: {results['start_seconds']} s. Memory after the measurements (PSS, platform and",
        f"emulator): {results['memory_mb']} MB.",
        "",
        "| operation | clients | requests | p50 ms | p95 ms | p99 ms | requests/s |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['operation']} | {row['clients']} | {row['requests']} | {row['p50_ms']} | {row['p95_ms']} "
        f"| {row['p99_ms']} | {row['per_second']} |"
        for row in results["latency"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
