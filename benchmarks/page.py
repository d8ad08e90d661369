"""docs/performance.md and what it is made of; `python -m benchmarks.page` writes it anew without measuring."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from benchmarks import function_sections, sections, targets
from benchmarks import results as kept
from benchmarks.packages import LAYER_LIMIT, PACKAGE_LIMIT

Found = dict[str, Any]
_VERSIONS = ("ministack", "aws-lambda-powertools", "openai", "boto3")


def keep(part: str, found: Found) -> None:
    """Keep one part of the results, the others as they are, and write the page anew."""
    kept.write(kept.read() | {"versions": {name: version(name) for name in _VERSIONS}, part: found})
    write()


def write() -> None:
    """Write the page anew from the results that are kept."""
    kept.PAGE.write_text(page(kept.read()))


def text() -> str:
    """The page as it was written last."""
    return kept.PAGE.read_text()


def page(results: Mapping[str, Found]) -> str:
    """docs/performance.md, from what was measured."""
    lines = [
        "# Performance",
        "",
        *(("Quick rounds, which show that everything works; their times are no figures.", "") if kept.QUICK else ()),
        "Written by `make bench`; do not edit. Each part is a file in `benchmarks/` that answers one question, can be",
        "measured alone (`python -m benchmarks.latency`), and says when it was. What is exact (requests, units,",
        "invocations, transitions, events) stands in [access-patterns.md](access-patterns.md), and what it costs in",
        "[costs.md](costs.md). Times move with the machine: compare them within a part, where every round measures",
        "every row, by their ratios. Versions: "
        f"{', '.join(f'{name} {number}' for name, number in results['versions'].items())}.",
        "",
        *targets.lines(results),
    ]
    for name, section in SECTIONS.items():
        if name in results:
            lines += ["", *section(results[name])]
    return "\n".join(lines) + "\n"


def _packages(packed: Found) -> list[str]:
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


SECTIONS: Mapping[str, Callable[[Found], list[str]]] = {
    "start": sections.start,
    "latency": sections.latency,
    "streams": sections.streams,
    "peers": sections.peers,
    "endurance": sections.endurance,
    "packages": _packages,
    "cold_start": cold_start,
    "warm": function_sections.warm,
    "growth": function_sections.growth,
}
"""By the names of the parts in results.json, in the order of the page."""


if __name__ == "__main__":
    write()
