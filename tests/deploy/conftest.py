"""The built packages, and the stack that is deployed from them, shared by all tests of a session."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy import building


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Shows a line of progress at once, past pytest's capture."""
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    begun = time.monotonic()

    def write(text: str) -> None:
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(f"[{time.monotonic() - begun:5.1f} s] {text}")

    return write


@pytest.fixture(scope="session")
def built(say: Callable[[str], None]) -> Path:
    """The folder that `sam build` filled: the template, a folder for each function, and `SharedLayer`."""
    return building.build(say)
