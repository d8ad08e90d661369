"""Agents for the sandbox: a few lines of Python, run once under small limits."""

import textwrap
from pathlib import Path
from typing import Any

from shared.sandbox import runs
from shared.sandbox.runs import Limits, Outcome

SMALL = Limits(
    seconds=1.5,
    memory_bytes=192 * 1024 * 1024,
    disk_bytes=1024 * 1024,
    files=200,
    threads=16,
    result_bytes=10_000,
    output_bytes=50_000,
)
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
