"""What each operation asks of AWS, and how large each package is: the table that the gates hold to.

``python -m benchmarks.figures`` counts everything anew and writes benchmarks/figures.json and the columns of
docs/access-patterns.md; ``--check`` compares those two, without counting.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from tests.integration.counting import Tally

ROOT = Path(__file__).parent.parent
FILE = ROOT / "benchmarks/figures.json"
DOCUMENT = ROOT / "docs/access-patterns.md"
COLUMNS = ("requests", "read units", "write units", "functions", "transitions", "events")
LAYER_STEP, PACKAGE_STEP = 500_000, 5_000
"""Bytes. Sizes are rounded up to these, so that the table does not change with every line of code."""

_ROW = re.compile(
    r"^\| ([^|]+) \| ([^|]+) \| (\d+) \| (\d+(?:\.5)?) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one call of an operation asks of AWS.

    Attributes:
        requests: to DynamoDB, by the function that sends them.
        reads, writes: units.
        calls: of functions, by their names in template.yaml.
        machine: EXPRESS or STANDARD, or `None` if no state machine is started.
        events: written to the log of a run, by name.
        stamps: changes of which the reader of the table's stream makes an audit record.
    """

    requests: Mapping[str, int]
    reads: float
    writes: int
    calls: Mapping[str, int]
    machine: str | None
    transitions: int
    events: Mapping[str, int]
    stamps: int

    @property
    def columns(self) -> tuple[float, ...]:
        """The columns of docs/access-patterns.md, which are named in `COLUMNS`."""
        requests, calls, events = (sum(named.values()) for named in (self.requests, self.calls, self.events))
        return requests, self.reads, self.writes, calls, self.transitions, events

    @property
    def asked(self) -> int:
        """Answers of a model."""
        return self.events.get("usage", 0)

    @property
    def tool_calls(self) -> int:
        """Calls of a tool that ended."""
        return self.events.get("tool.completed", 0) + self.events.get("tool.error", 0)

    @property
    def ends(self) -> int:
        """Runs that ended."""
        return sum(self.events.get(name, 0) for name in ("result", "error", "cancelled"))


def of(tally: "Tally") -> Figures:
    """What was counted, as it is kept."""
    return Figures(
        requests=dict(sorted(tally.by_function.items())),
        reads=int(tally.read_units) if tally.read_units == int(tally.read_units) else tally.read_units,
        writes=int(tally.write_units),
        calls=dict(sorted(tally.calls.items())),
        machine=tally.machine,
        transitions=len(tally.entered),
        events=dict(sorted(tally.events.items())),
        stamps=tally.stamps,
    )


@cache
def operations() -> dict[str, Figures]:
    """The committed figures of every operation."""
    return {name: Figures(**kept) for name, kept in _read()["operations"].items()}


def route(name: str) -> str:
    """Method and path of an operation of the table, or of the contract; parameters stand as ``{}``."""
    return re.sub(r"{[^}]+}", "{}", re.sub(r"[?(].*", "", name).strip())


def packages() -> dict[str, int]:
    """The committed sizes of the packages by what is built, in bytes, unzipped."""
    return dict(_read()["packages"])


def rounded(sizes: Mapping[str, int], layer: str) -> dict[str, int]:
    """Sizes as they are kept."""

    def step(name: str) -> int:
        return LAYER_STEP if name == layer else PACKAGE_STEP

    return {name: math.ceil(size / step(name)) * step(name) for name, size in sorted(sizes.items())}


def page(found: Mapping[str, Figures]) -> str:
    """docs/access-patterns.md with these figures; what else stands there is written by hand.

    Raises:
        ValueError: an operation has no row, or a row no operation.
    """
    text = DOCUMENT.read_text()
    rows = {row[0] for row in _ROW.findall(text)}
    if rows != found.keys():
        raise ValueError(f"rows without an operation, or operations without a row: {sorted(rows ^ found.keys())}")

    def written(row: re.Match[str]) -> str:
        return f"| {row[1]} | {row[2]} | {' | '.join(f'{column:g}' for column in found[row[1]].columns)} |"

    return _ROW.sub(written, text)


def grown(found: Mapping[str, Figures], kept: Mapping[str, Figures]) -> Iterator[str]:
    """What costs more than the table says, in words."""
    for name, figures in found.items():
        if name in kept:
            pairs = zip(COLUMNS, figures.columns, kept[name].columns, strict=True)
            yield from (f"{name}: {now} {column}, not {before}" for column, now, before in pairs if now > before)


def measure(progress: Callable[[str], None]) -> dict[str, Figures]:
    """Count every operation on a platform of its own."""
    from tests import ports
    from tests.integration.neighbours import Neighbours
    from tests.integration.operations import count_all
    from tests.integration.running import running

    with (
        TemporaryDirectory() as folder,
        ports.finder() as find,
        Neighbours().running() as neighbours,
        running(Path(folder), find(), neighbours) as platform,
    ):
        return {name: of(tally) for name, tally in count_all(platform, neighbours, progress).items()}


def _read() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(FILE.read_text())
    return read


def _write(found: Mapping[str, Figures], sizes: Mapping[str, int]) -> None:
    kept: dict[str, Mapping[str, Any]] = {
        "operations": {name: asdict(figures) for name, figures in found.items()},
        "packages": sizes,
    }
    # One line for each, so that a change can be read.
    parts = []
    for part, entries in kept.items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        parts.append(f'  "{part}": {{\n{lines}\n  }}')
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def main() -> int:
    """Count and write, or compare; the exit code is 1 if the document drifts from the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.figures", description="Count what operations ask.")
    parser.add_argument("--check", action="store_true", help="count nothing; exit 1 if the document drifts")
    parser.add_argument("--no-packages", action="store_true", help="keep the sizes of the packages as they are")
    given = parser.parse_args()
    if given.check:
        if DOCUMENT.read_text() == page(operations()):
            return 0
        print("docs/access-patterns.md drifts from benchmarks/figures.json", file=sys.stderr)
        return 1
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("platform", total=None)
        found = measure(lambda name: bar.update(task, description=name))
        bar.update(task, description="packages")
        sizes = packages() if given.no_packages else _measured_packages()
    _write(found, sizes)
    DOCUMENT.write_text(page(found))
    return 0


def _measured_packages() -> dict[str, int]:
    from benchmarks.packages import LAYER, sizes
    from tests.deploy import building

    return rounded(sizes(building.build(lambda _: None)), LAYER)


if __name__ == "__main__":
    sys.exit(main())
