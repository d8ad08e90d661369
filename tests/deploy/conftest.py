"""The built packages, and the stack that is deployed from them, shared by all tests of a session."""

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from local import ports, standins
from local.servers import LoopThread
from tests.deploy import building, deployment, worlds
from tests.deploy.deployment import Deployed
from tests.deploy.worlds import World

Say = Callable[[str], None]


@pytest.fixture(scope="session")
def say(request: pytest.FixtureRequest) -> Say:
    """Shows a line of progress at once, past pytest's capture."""
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    begun = time.monotonic()

    def write(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[{time.monotonic() - begun:5.1f} s] {text}", end="", flush=True)

    return write


@pytest.fixture(scope="session")
def built(say: Say) -> Path:
    """The folder that `sam build` filled: the template, a folder for each function, and `SharedLayer`."""
    say("sam validate --lint")
    with ThreadPoolExecutor(1) as pool:
        validated = pool.submit(building.validate)
        found = building.build(say)
        validated.result()
    return found


@pytest.fixture(scope="session")
def outside() -> Iterator[str]:
    """The address of what stands around the platform: a model and a tool."""
    listener = ports.listen("127.0.0.1", 0, "stand-ins")
    loop = LoopThread()
    stop = loop.serve(Starlette(routes=standins.outside()), listener)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop()
    loop.close()


@pytest.fixture(scope="session")
def deployed(built: Path, outside: str, tmp_path_factory: pytest.TempPathFactory, say: Say) -> Iterator[Deployed]:
    """The stack in an emulator that enforces IAM."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    folder = tmp_path_factory.mktemp("deployed")
    with deployment.deployed(built, folder, port, worlds.parameters(outside), outside, say) as stack:
        resources = len(stack.processed["Resources"])
        say(f"deployed {resources} resources")
        yield stack
        say(
            f"{len(stack.called)} functions have succeeded under their own roles, in a stack of {resources} resources\n"
        )


@pytest.fixture(scope="session")
def the_world(deployed: Deployed, outside: str) -> Iterator[World]:
    """The world of the events, in the stack's table; `shared.store` reads it here, too."""
    made = World(deployed, outside)
    with worlds.seen_from_here(deployed, outside):
        yield made
