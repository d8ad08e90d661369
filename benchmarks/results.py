"""What was measured last, part by part: benchmarks/results.json is committed, and a quick round never touches it."""

import json
import os
from pathlib import Path
from typing import Any

QUICK = bool(os.environ.get("BENCH_QUICK"))
"""Less of everything: all of it within 3 minutes."""

_ROOT = Path(__file__).parent.parent
_COMMITTED = _ROOT / "benchmarks/results.json"
_FILE = _ROOT / ".bench/results.json" if QUICK else _COMMITTED
PAGE = _ROOT / (".bench/performance.md" if QUICK else "docs/performance.md")
"""What is written from them."""


def read() -> dict[str, Any]:
    """All parts: of the quick rounds, if it must be quick."""
    found: dict[str, Any] = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return found


def kept(part: str) -> Any:
    """One part, as it is committed."""
    return json.loads(_COMMITTED.read_text())[part]


def write(found: dict[str, Any]) -> None:
    """Write all parts anew."""
    _FILE.parent.mkdir(exist_ok=True)
    _FILE.write_text(json.dumps(found, indent=2) + "\n")
