"""The platform under test: the real template on the local runtime, in this process."""

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests import ports
from tests.integration import said_aloud
from tests.integration.console import Console
from tests.integration.neighbours import Neighbours
from tests.integration.running import TOOL_SECRETS, running
from tests.permission_proof import RECORDS


def pytest_configure(config: pytest.Config) -> None:
    """What the last tests recorded proves nothing about these."""
    # A worker of pytest-xdist has such an input; the records are of all workers together.
    if not hasattr(config, "workerinput"):
        shutil.rmtree(RECORDS, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test fails if a function of the platform, which writes into its output, wrote a secret there."""
    report = yield
    found = said_aloud.secrets_in(report.capstdout + report.capstderr, TOOL_SECRETS.values())
    if found and report.passed:
        report.outcome, report.longrepr = "failed", f"secrets in the log lines: {found}"
    return report


@pytest.fixture(scope="session")
def free_port() -> Iterator[Callable[[], int]]:
    """Finds a port that is free together with the two that follow it, and stays so for this session's servers."""
    with ports.finder() as find:
        yield find


@pytest.fixture(scope="session")
def neighbours() -> Iterator[Neighbours]:
    """Tools that misbehave and a model with a script; the platform knows the model as ``custom:<name>``."""
    with Neighbours().running() as server:
        yield server


@pytest.fixture(scope="session")
def platform(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], neighbours: Neighbours
) -> Iterator[Runtime]:
    """A running platform, shared by all tests: make your own agents, tools and keys in it."""
    with running(tmp_path_factory.mktemp("platform"), free_port(), neighbours, RECORDS) as runtime:
        yield runtime
        assert not runtime.refused, "permissions that template.yaml does not give"


@pytest.fixture(scope="session")
def api(platform: Runtime) -> Iterator[httpx.Client]:
    """The API as the administrator of the tenant ``tenant_mine``, which has no limits."""
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": "mine"}, timeout=35) as client:
        yield client


@pytest.fixture(scope="session")
def other_api(platform: Runtime) -> Iterator[httpx.Client]:
    """The API as the administrator of ``tenant_theirs``, who must never see anything of ``tenant_mine``."""
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": "theirs"}, timeout=35) as client:
        yield client


@pytest.fixture
def console(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Console]]:
    port, started = free_port(), []

    def start(**options: Any) -> Console:
        started.append(Console(**{"data_dir": tmp_path / "data", "port": port, **options}))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.communicate(timeout=90)
