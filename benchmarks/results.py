"""benchmarks/results.json: what was measured last, part by part."""

import json
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "results.json"


def read() -> dict[str, Any]:
    """All parts."""
    found: dict[str, Any] = json.loads(_FILE.read_text())
    return found


def kept(part: str) -> Any:
    """One part."""
    return read()[part]


def write(found: dict[str, Any]) -> None:
    """Write all parts anew."""
    _FILE.write_text(json.dumps(found, indent=2) + "\n")
