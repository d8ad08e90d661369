"""What all parts of the benchmarks share: quick or whole, when and where, and being measured alone."""

import datetime
import os
import platform as machine
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import page, results

QUICK = results.QUICK


def rounds(whole: int, quick: int) -> int:
    """So many rounds."""
    return quick if QUICK else whole


def fewer(count: int) -> int:
    """So many requests: half, when it must be quick."""
    return max(1, count // 2) if QUICK else count


def about() -> dict[str, str]:
    """When and where a part was measured."""
    where = f"{os.cpu_count()} cores, Python {machine.python_version()}, {machine.system()}"
    return {"date": datetime.date.today().isoformat(), "machine": where}


def bar() -> Progress:
    """The progress bar on the terminal; standard output is for figures."""
    columns = (TextColumn("{task.description:<44}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def alone(name: str, steps: int, measure: Callable[[Callable[[str], None]], dict[str, Any]]) -> None:
    """Measure one part and keep its results; the others stay as they are."""
    with bar() as shown:
        task = shown.add_task(name, total=steps)
        found = measure(lambda doing: shown.update(task, advance=1, description=doing))
    page.keep(name, found)
    print("\n".join(page.SECTIONS[name](found)))
