"""Where the sandbox's tests run agents."""

import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """For an agent's package; what runs leave behind would be found in the folder beside it."""
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "runs"))
    return tmp_path / "agent"
