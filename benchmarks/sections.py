"""The sections of docs/performance.md on the local platform, from what its parts found."""

from collections.abc import Iterable, Sequence
from typing import Any

Found = dict[str, Any]


def when(found: Found) -> str:
    """When and where a part was measured, to stand behind its method."""
    return f"{found['date']}, {found['machine']}."


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table of Markdown."""
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


def span(ends: Sequence[float]) -> str:
    """The least and the most."""
    return f"{ends[0]:g}-{ends[1]:g}"


def start(found: Found) -> list[str]:
    rows = [
        (
            row["name"],
            f"{row['seconds']} ({span(row['seconds_spread'])})",
            f"{row['memory_mb']} ({span(row['memory_spread'])})",
            ", ".join(f"{name} {size}" for name, size in row["by_process_mb"].items()),
        )
        for row in found["rows"]
    ]
    return [
        "## Start",
        "",
        "From the start of `python -m local` to the first answer of the API, and memory (PSS of all processes) then.",
        f"Median of {found['rounds']} starts (least-most). {when(found)}",
        "",
        *table(("with", "seconds", "MB", "MB by process"), rows),
    ]


def latency(found: Found) -> list[str]:
    rows = [
        (
            row["operation"],
            row["clients"],
            row["requests"],
            f"{row['p50_ms']} ({span(row['p50_spread'])})",
            row["p95_ms"],
            row["p99_ms"],
            f"{row['per_second']} ({span(row['per_second_spread'])})",
            f"{row['ratio']} ({span(row['ratio_spread'])})",
        )
        for row in found["rows"]
    ]
    return [
        "## Latency",
        "",
        "`python -m local` with an empty data folder, the stub (model and tool, which answer at once) and the clients",
        "are processes of their own on one machine. A client is a thread with one keep-alive connection. Percentiles",
        "over all requests; in brackets the least and the most of the rounds' medians. The first rows are what the",
        "calls of a one-tool run take without a platform; the ratio is to the first one with as many clients, round by",
        "round.",
        f"{found['rounds']} rounds. {when(found)}",
        "",
        *table(("operation", "clients", "requests", "p50 ms", "p95 ms", "p99 ms", "per second", "ratio"), rows),
    ]


def streams(found: Found) -> list[str]:
    rows = [
        (
            row["streams"],
            row["first_tokens"],
            row["first_p50_ms"],
            f"{row['first_p95_ms']} ({span(row['first_p95_spread'])})",
            row["tokens"],
            row["token_p50_ms"],
            row["token_p95_ms"],
        )
        for row in found["rows"]
    ]
    events = [
        (name, sum(counts.values()), ", ".join(f"{event} {count}" for event, count in counts.items()))
        for name, counts in found["events"].items()
    ]
    head = ("streams at once", "first tokens", "first p50 ms", "first p95 ms", "later tokens", "p50 ms", "p95 ms")
    return [
        "## Streams",
        "",
        "From the moment a token leaves the model to the moment its frame is read by the client. The model's first",
        "token comes after 0.2 to 1.2 s, then one each 20 ms for 1.2 s; what comes later is written each tenth of a",
        "second.",
        f"{found['rounds']} rounds (least-most of their p95). {when(found)}",
        "",
        *table(head, rows),
        "",
        f"A watcher of an answer of 20 s reads the table {found['looks_per_second']} times a second, by the stream's",
        "own pauses (`benchmarks.scale.looks`). Events of a streamed run, its model answering at once:",
        "",
        *table(("run", "events", "by name"), events),
    ]


def peers(found: Found) -> list[str]:
    rows = []
    for row in found["rows"]:
        if "missing" in row:
            rows.append((row["name"], f"not measured: {row['missing']}", *[""] * 6))
            continue
        run = row["run"]
        rows.append(
            (
                f"{row['name']} {row['version']}".strip(),
                f"{run['p50_ms']} ({span(run['p50_spread'])})",
                f"{row['ratio']} ({span(row['ratio_spread'])})",
                f"{row['runs_per_second']} ({span(row['runs_per_second_spread'])})" if "runs_per_second" in row else "",
                row.get("read_p50_ms", ""),
                row.get("memory_mb", ""),
                row.get("memory_after_mb", ""),
                row.get("start_seconds", ""),
            )
        )
    head = ("system", "run p50 ms", "ratio", "runs/s, 16 clients", "read p50 ms", "MB at start", "MB after", "start s")
    return [
        "## Beside others",
        "",
        "The same one-tool run (2 model calls, 1 tool call, a record of the run) on the same stub, asked for by the",
        "same client in the same rounds. The others are servers of a page each (`benchmarks/peers/`), set up as their",
        "documents say, with one process each; what they lack beside the platform (tenants, permissions, limits, a log",
        "of events, recovery) is not counted. A read is of one record. The ratio is to the floor's p50 of the round.",
        f"{found['rounds']} rounds (least-most). {when(found)}",
        "",
        *table(head, rows),
    ]


def endurance(found: Found) -> list[str]:
    rows = [
        (
            mark["runs"],
            mark["memory_mb"]["host"],
            mark["memory_mb"]["emulator"],
            mark["folder_mb"],
            mark["logs_mb"],
            mark["run_p50_ms"],
            mark["read_p50_ms"],
        )
        for mark in found["marks"]
    ]
    return [
        "## Endurance",
        "",
        "One-tool runs by 8 clients, one after another; at each mark 30 runs and 30 reads by one client, then 6 s of",
        "quiet. Memory is PSS. The table's items stay, of course, in the emulator's memory and in its state on disk.",
        when(found),
        "",
        *table(("runs", "host MB", "emulator MB", "folder MB", "of it logs", "run p50 ms", "read p50 ms"), rows),
    ]
