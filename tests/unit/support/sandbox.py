"""Agents for the sandbox: a few lines of Python, run once under small limits."""

import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.sandbox import runs
from shared.sandbox.runs import Limits, Outcome

# Time enough on any machine: only what never ends comes to the end of it.
SMALL = Limits(
    seconds=120,
    memory_bytes=192 * 1024 * 1024,
    disk_bytes=1024 * 1024,
    files=200,
    threads=16,
    result_bytes=10_000,
    output_bytes=50_000,
)
HASTY = replace(SMALL, seconds=1.5)
GOOD = "def handle(payload):\n    return {'got': payload}\n"


def write(folder: Path, source: str) -> Path:
    """An agent's folder with this module."""
    folder.mkdir(exist_ok=True)
    (folder / "main.py").write_text(textwrap.dedent(source))
    (folder / "main.py").chmod(0o644)
    return folder


def call(folder: Path, source: str, payload: Any = None, limits: Limits = SMALL, **options: Any) -> Outcome:
    """Run an agent that is nothing but this source."""
    return runs.run(write(folder, source), "main:handle", payload, limits, **options)


@contextmanager
def delays() -> Iterator[Callable[[], float]]:
    """Tells how many seconds the machine has been late to wake up somebody who does nothing but sleep."""
    late, over = 0.0, threading.Event()

    def doze() -> None:
        nonlocal late
        while not over.is_set():
            begun = time.monotonic()
            over.wait(0.05)
            late += max(0.0, time.monotonic() - begun - 0.05)

    sleeper = threading.Thread(target=doze)
    sleeper.start()
    try:
        yield lambda: late
    finally:
        over.set()
        sleeper.join()
