"""The section "Against the targets": each target beside the figure that was measured for it."""

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks import costs, figures
from benchmarks.sections import table

_RUN = "POST /runs (one tool)"
_RUN_TARGETS = (6, 4, 14, 16)
_API = ("RunsStart", "AuthorizerAuthorize")
"""The API's own invocations, which come to those of a run."""

Row = tuple[str, str, str, str]


def lines(results: Mapping[str, Any]) -> list[str]:
    """The section, from all parts; what was not measured says so."""
    return [
        "## Against the targets",
        "",
        *table(("what", "target", "measured", ""), [*_cold(results), *_exact(), *_local(results)]),
    ]


def _row(what: str, target: str, measured: str | None, met: bool | None) -> Row:
    return what, target, measured or "not measured", {None: "", True: "met", False: "**not met**"}[met]


def _cold(results: Mapping[str, Any]) -> Iterator[Row]:
    rows = results.get("cold_start", {}).get("rows", [])
    groups = {0.6: "API functions", 0.5: "authorizer and workers", 1.2: "call_model"}
    for target, name in groups.items():
        found = {row["name"]: row["ratio"] for row in rows if row["target"] == target}
        shown = ", ".join(f"{function} {ratio}" for function, ratio in found.items())
        met = max(found.values()) <= target if found else None
        yield _row(f"cold start of {name} / hello-world with boto3", f"<= {target}", shown, met)


def _exact() -> Iterator[Row]:
    """From the counts and prices that are committed: nothing of it is a matter of time."""
    counted = figures.operations()
    get, create, page = (counted[name].columns for name in ("GET /agents/{id}", "POST /agents", "GET /agents (a page)"))
    yield _row("get, one of anything", "1 request, 1 unit", f"{get[0]}, {get[1]}", get[0] == 1 and get[1] <= 1)
    yield _row("create with unique name", "1 transaction", f"{create[0]} request", create[0] == 1)
    yield _row("list page", "1 query", f"{page[0]} request", page[0] == 1)
    requests, _, writes, calls, transitions, _ = counted[_RUN].columns
    found = (transitions, calls - len(_API), requests, writes)
    met = all(one <= most for one, most in zip(found, _RUN_TARGETS, strict=True))
    shown, target = (", ".join(map(str, figure)) for figure in (found, _RUN_TARGETS))
    yield _row("one-tool run: transitions, invocations, requests, write units", f"<= {target}", shown, met)
    dollars = costs.dollars(_RUN).share
    yield _row(
        "a million of them, dollars", f"<= {costs.TARGET_DOLLARS:g}", f"{dollars:.2f}", dollars <= costs.TARGET_DOLLARS
    )


def _local(results: Mapping[str, Any]) -> Iterator[Row]:
    rows = {(row["operation"], row["clients"]): row for row in results.get("latency", {}).get("rows", [])}
    run, read = rows.get((_RUN, 1)), rows.get(("GET /agents/{id}", 1))
    shown, met = (f"{run['ratio']}, {run['p50_ms']} ms", run["ratio"] <= 3.5) if run else (None, None)
    yield _row("one-tool run, p50 / `openai` SDK loop", "<= 3.5", shown, met)
    yield _against_peers(results.get("peers", {}).get("rows", []))
    shown, met = (f"{read['p50_ms']} ms", read["p50_ms"] <= 2) if read else (None, None)
    yield _row("read, p50", "<= 2 ms", shown, met)
    streams = {row["streams"]: row["first_p95_ms"] for row in results.get("streams", {}).get("rows", [])}
    shown = ", ".join(f"{ms} ms ({number} at once)" for number, ms in streams.items())
    yield _row("first token after the model's, p95", "<= 60 ms", shown, streams[1] <= 60 if streams else None)
    starts = results.get("start", {}).get("rows", [])
    shown = ", ".join(f"{row['seconds']} s, {row['memory_mb']} MB" for row in starts[:1])
    met = starts[0]["seconds"] <= 4 and starts[0]["memory_mb"] <= 300 if starts else None
    yield _row("`make run` to first answer", "<= 4 s, <= 300 MB", shown, met)


def _against_peers(rows: list[dict[str, Any]]) -> Row:
    rates = {row["name"]: row["runs_per_second"] for row in rows if row.get("peer") and "missing" not in row}
    ours = next((row["runs_per_second"] for row in rows if row.get("ours")), None)
    shown = f"{ours} ({', '.join(f'{name} {rate}' for name, rate in rates.items())})" if ours and rates else None
    met = ours > max(rates.values()) if ours and rates else None
    return _row("one-tool runs a second, 16 clients", "more than every peer", shown, met)
