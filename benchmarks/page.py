"""The page that `make bench` writes, and what it is made of."""

import json
from pathlib import Path
from typing import Any

from benchmarks.packages import LAYER_LIMIT, PACKAGE_LIMIT

_ROOT = Path(__file__).parent.parent
_RESULTS, _PAGE = _ROOT / "benchmarks/results.json", _ROOT / "docs/performance.md"


def write(results: dict[str, Any]) -> str:
    """Write benchmarks/results.json and docs/performance.md, and return the page."""
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    text = page(results)
    _PAGE.write_text(text)
    return text


def keep(part: str, found: dict[str, Any]) -> None:
    """Write both anew with one part of the results, and the others as they are."""
    write(json.loads(_RESULTS.read_text()) | {part: found})


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
    lines += ["", *_packages(results["packages"]), "", *cold_start(results["cold_start"])]
    return "\n".join(lines) + "\n"


def _packages(packed: dict[str, Any]) -> list[str]:
    largest, bytes_of_it = packed["largest"]
    return [
        "## What is deployed",
        "",
        f"By `sam build`, unzipped. The layer: {packed['layer'] / 1e6:.1f} MB (at most {LAYER_LIMIT / 1e6:.0f}). "
        f"The largest of {packed['packages']} packages:",
        f"{bytes_of_it / 1e3:.1f} KB ({largest}; at most {PACKAGE_LIMIT / 1e3:.0f}).",
    ]


def cold_start(found: dict[str, Any]) -> list[str]:
    """The section on what benchmarks/cold_start.py found."""
    lines = [
        "## Cold start",
        "",
        "INIT as Lambda's runtime interface emulator reports it, of the packages and the layer that `sam build` made",
        "for this machine's processor and Python; `awslambdaric` and boto3, compiled, stand for Lambda's runtime.",
        f"{found['date']}, median of {found['rounds']} rounds (least-most), each of which starts every row; one more",
        "before them does not count. The ratio is to the first row, which is what `sam build` packs for boto3 in a",
        "requirements.txt: sources only. It makes its client in INIT, ours with the first request but for one row.",
        "CPU: the process's own time on a processor, the least of the rounds, as other work only adds. Peak: VmHWM.",
        "",
        "| what starts | INIT ms | ratio | target | CPU ms | CPU ratio | peak MB | package KB |",
        "|---|---|---|---|---|---|---|---|",
        *map(_line, found["rows"]),
        "",
        "The dearest imports, by `-X importtime`, which takes time itself: ms of a module alone, the least of",
        f"{found['import_samples']} samples.",
        "",
        "| function | ours | others |",
        "|---|---|---|",
    ]
    for name, kinds in found["imports"].items():
        lines.append(f"| {name} | {_list(kinds['ours'])} | {_list(kinds['others'])} |")
    return lines


def _line(row: dict[str, Any]) -> str:
    target = "" if row["target"] is None else f"<= {row['target']}"
    init = f"{row['init_ms']} ({_span(row['init_ms_spread'])}) | {row['ratio']} ({_span(row['ratio_spread'])})"
    cpu = f"{row['cpu_ms']} | {row['cpu_ratio']}"
    return f"| {row['name']} | {init} | {target} | {cpu} | {row['peak_mb']} | {row['package_kb']} |"


def _span(ends: list[float]) -> str:
    return f"{ends[0]}-{ends[1]}"


def _list(modules: dict[str, float]) -> str:
    return ", ".join(f"{name} {ms}" for name, ms in modules.items())
