"""What holds for the tests of all kinds."""

from pathlib import Path

import pytest

_ORDER = ("unit", "house", "integration")
_LONGEST = (
    "test_contract.py",
    "test_kill.py",
    "test_deployment.py",
    "test_accounts.py",
    "test_audit.py",
    "test_local_runtime.py",
    "test_streams.py",
)
"""Files of integration tests that take longest. They come first of all: one that begins late keeps one worker alone."""
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Integration tests come last, in each worker, whatever the command line says.

    A running platform makes the process its own for the rest of the session: it imports the layer afresh, in place of
    the modules that the unit tests hold and change, and sets the environment of its functions.
    """
    items.sort(key=lambda item: _place(item.path))


def _place(file: Path) -> tuple[int, int]:
    kind = file.relative_to(_HERE).parts[0]
    length = _LONGEST.index(file.name) if kind == "integration" and file.name in _LONGEST else len(_LONGEST)
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER)), length
