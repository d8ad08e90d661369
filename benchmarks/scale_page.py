"""The tables of docs/scale.md; what stands between them is written by hand."""

from collections.abc import Sequence

from benchmarks import costs, prices, scale
from benchmarks.run_requests import Names, looked_up, sums
from benchmarks.scale import CASES, DAY, Case

_GATEWAY = (
    "[API Gateway](https://docs.aws.amazon.com/apigateway/latest/developerguide/"
    "api-gateway-execution-service-limits-table.html)"
)
_LAMBDA = "[Lambda](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html)"
_STEPS = "[Step Functions](https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html)"
_DYNAMODB = "[DynamoDB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html)"
_NEW_TABLE = (
    "[DynamoDB](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html)"
)


def written(page: str) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: a table has no place in the page.
    """
    tables = {"arrivals": _arrivals(), "partitions": _partitions(), "ceilings": _ceilings(), "quotas": _quotas()}
    tables["dollars"] = _dollars()
    for name, lines in tables.items():
        begin, end = f"<!-- BEGIN {name} -->", f"<!-- END {name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(name)
        before, _, rest = page.partition(begin)
        _, _, behind = rest.partition(end)
        page = before + "\n".join([begin, "", *lines, "", end]) + behind
    return page


def rates(case: Case, runs: float) -> tuple[float, float]:
    """Read and write units a second of the whole table at so many runs a second, look-ups of keys among them."""
    of_runs, of_keys = scale.total(case), sums(looked_up(Names()))
    found = scale.lookups(case, runs)
    return of_runs.reads * runs / 1_000 + of_keys.reads * found, of_runs.writes * runs / 1_000 + of_keys.writes * found


def dollars(case: Case) -> dict[str, float]:
    """What a day costs, by service."""
    runs = case.runs * DAY
    reads, writes = rates(case, case.runs)
    seconds = {name: length * DAY for name, length in scale.busy(case, case.runs).items()}
    invocations = runs * (scale.calls(case) + scale.followed(case) / costs.READER_BATCH)
    return {
        "API Gateway": prices.GATEWAY_REQUEST.of(runs),
        "Lambda": prices.LAMBDA_REQUEST.of(invocations)
        + sum(prices.LAMBDA_GB_SECOND.of(length * scale.memory(name) / 1024) for name, length in seconds.items()),
        "Step Functions": prices.EXPRESS_REQUEST.of(runs)
        + prices.EXPRESS_GB_SECOND.of(runs * scale.run_seconds(case) * costs.EXPRESS_MB / 1024),
        "DynamoDB, reads": prices.READ_UNIT.of(reads * DAY),
        "DynamoDB, writes": prices.WRITE_UNIT.of(writes * DAY),
    }


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows)]


def _arrivals() -> list[str]:
    rows = []
    for case in CASES:
        load = scale.simulated(case)
        peak = float(load.peak)
        reads, writes = rates(case, load.table_runs)
        rows.append(
            (
                case.name,
                _number(case.runs * DAY),
                _number(case.runs),
                _number(case.busiest),
                _number(peak),
                f"{load.largest:.1%}",
                str(load.above),
                _number(peak * scale.calls(case)),
                _number(sum(scale.busy(case, case.busiest).values())),
                _number(reads),
                _number(writes),
            )
        )
    head = (
        "case",
        "runs a day",
        "runs/s, mean",
        "busiest minutes",
        "busiest second",
        "largest tenant",
        "tenants above the default",
    )
    return _table((*head, "Lambda calls/s", "Lambda at once", "read units/s", "write units/s"), rows)


def _partitions() -> list[str]:
    rows = []
    for case in CASES:
        for hot in scale.simulated(case).hot[:4]:
            figures = (_number(hot.writes), _number(hot.reads), _room(hot.load))
            rows.append((case.name, f"`{hot.partition}`", hot.place, *figures))
    return _table(("case", "partition", "falls on", "write units/s", "read units/s", "room"), rows)


def _ceilings() -> list[str]:
    rows = [
        (f"`{found.partition}`", found.place, str(found.reads), str(found.writes), _number(found.runs))
        for found in scale.ceilings()
    ]
    return _table(("partition", "falls on", "read units a run", "write units a run", "full at runs/s"), rows)


def _quotas() -> list[str]:
    rows: list[tuple[str, ...]] = []

    def row(name: str, page: str, limit: int, used: list[float]) -> None:
        shown = [f"{_number(figure)} ({figure / limit:.0%})" if figure else "-" for figure in used]
        rows.append((name, page, f"{limit:,}", *shown))

    peaks = [float(scale.simulated(case).peak) for case in CASES]
    table = [rates(case, scale.simulated(case).table_runs) for case in CASES]
    row("Throttle quota per account, requests a second", _GATEWAY, 10_000, peaks)
    row("API keys per account", _GATEWAY, 10_000, [float(case.tenants) for case in CASES])
    at_once = [sum(scale.busy(case, case.busiest).values()) for case in CASES]
    row("Concurrent executions", _LAMBDA, 1_000, at_once)
    invocations = [peak * scale.calls(case) for case, peak in zip(CASES, peaks, strict=True)]
    row("Invocation requests a second: 10 x concurrency", _LAMBDA, 10_000, invocations)
    started = [peak if case.streamed else 0.0 for case, peak in zip(CASES, peaks, strict=True)]
    row("StartExecution, Express, refill a second", _STEPS, 6_000, started)
    row("Table on demand, read units a second", _DYNAMODB, 40_000, [reads for reads, _ in table])
    row("Table on demand, write units a second", _DYNAMODB, 40_000, [writes for _, writes in table])
    row("Warm throughput of a new table, reads", _NEW_TABLE, 12_000, [reads for reads, _ in table])
    row("Warm throughput of a new table, writes", _NEW_TABLE, 4_000, [writes for _, writes in table])
    return _table(("quota", "page", "default", *(f"{number}" for number in range(1, len(CASES) + 1))), rows)


def _dollars() -> list[str]:
    found = [dollars(case) for case in CASES]
    rows = [(service, *(_number(day[service]) for day in found)) for service in found[0]]
    rows.append(("together, a day", *(_number(sum(day.values())) for day in found)))
    per_million = [1e6 * sum(day.values()) / (case.runs * DAY) for case, day in zip(CASES, found, strict=True)]
    rows.append(("for a million runs", *(_number(figure) for figure in per_million)))
    return _table(("dollars", *(f"{number}" for number in range(1, len(CASES) + 1))), rows)


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _room(load: float) -> str:
    return f"{1 / load:.3g} times" if load <= 1 else f"**none: {load:.1f} times too much**"
