"""The page that `make bench` writes."""

from typing import Any

from benchmarks.packages import LAYER_LIMIT, PACKAGE_LIMIT


def page(results: dict[str, Any]) -> str:
    """docs/performance.md, from what was measured."""
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
    lines += ["", *_packages(results["packages"])]
    return "\n".join(lines) + "\n"


def _packages(packed: dict[str, Any]) -> list[str]:
    largest, bytes_of_it = packed["largest"]
    return [
        "## What is deployed",
        "",
        f"By `sam build`, unzipped. The layer: {packed['layer'] / 1e6:.1f} MB (at most {LAYER_LIMIT / 1e6:.0f}). "
        f"The largest of {packed['packages']} packages:",
        f"{bytes_of_it / 1e3:.1f} KB ({largest}; at most {PACKAGE_LIMIT / 1e3:.0f}).",
        "",
        "A cold start, as far as it is ours: the processor's time from the start of Python to the handler being there,",
        "from the built packages, with no compiled code but what is in them. Python alone is in it.",
        "",
        "| function | CPU ms |",
        "|---|---|",
        *(f"| {name} | {ms} |" for name, ms in packed["cold_start_ms"].items()),
    ]
