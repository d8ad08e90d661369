"""The sections of docs/performance.md on functions: what they do when they are warm, and what grows."""

from typing import Any

from benchmarks.sections import when


def growth(found: dict[str, Any]) -> list[str]:
    """What benchmarks/growth.py counted."""
    columns = list(found["rows"][0]["counts"])
    flat = [row for row in found["rows"] if len({tuple(counts) for counts in row["counts"].values()}) == 1]
    lines = [
        "## Growth",
        "",
        "Requests to DynamoDB / read units / write units of each operation: for a tenant that has so many agents,",
        "tools, runs (all of one agent), sessions, audit records and events of one run; then, with as much as that,",
        "among so many tenants more. The real handlers over the emulator's own table in one process; the items are",
        f"copies of what the API wrote. Counted, so exact. {len(flat)} of {len(found['rows'])} operations cost the",
        f"same at every size; what does not is in bold. {when(found)}",
        "",
        f"| operation | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
    ]
    for row in found["rows"]:
        cells = [" / ".join(f"{count:g}" for count in row["counts"][column]) for column in columns]
        name = f"`{row['operation']}`"
        lines.append(f"| {name if row in flat else f'**{name}**'} | {' | '.join(cells)} |")
    return lines


def warm(found: dict[str, Any]) -> list[str]:
    """What benchmarks/warm.py measured."""
    return [
        "## Warm",
        "",
        "What a function does on a processor for one event, once its environment runs: each, as `sam build` made it,",
        "under Lambda's runtime interface emulator beside a deployed stack, with its event of",
        "events/ in a world made new. The process's own time on a processor, all threads, the least of",
        f"{found['calls']} calls behind two: other work on the machine only adds. Wall: until the answer, with the",
        "emulators' time, which is not AWS's. Peak: VmHWM after them. A password's hash is in `auth/register` and",
        f"`auth/login`. {when(found)}",
        "",
        "| function | CPU ms | wall ms | peak MB |",
        "|---|---|---|---|",
        *(f"| {row['name']} | {row['cpu_ms']} | {row['wall_ms']} | {row['peak_mb']} |" for row in found["rows"]),
    ]
