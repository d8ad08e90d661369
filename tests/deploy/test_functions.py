"""Every function, as packed, started by its handler and called with its event under its own role."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.deploy import calls
from tests.deploy.conftest import Say
from tests.deploy.deployment import Deployed
from tests.deploy.worlds import World
from tests.house.repository import Function, functions

# Two processors, so two cold starts at a time.
_THREADS = 2
# The state machines call these again and again.
_KEPT = "agent_run/"
_CALLED = sorted((one for one in functions() if one.script is None), key=lambda one: not one.name.startswith(_KEPT))


def _name(function: Function) -> str:
    return function.name


@pytest.fixture(scope="module")
def cold_starts(deployed: Deployed, request: pytest.FixtureRequest, say: Say) -> Iterator[dict[str, "Future[float]"]]:
    """Starts the API's functions ahead of their tests, by a route that none of them has; how long each took."""
    chosen = [item.callspec.params.get("function") for item in request.session.items if hasattr(item, "callspec")]
    nothing = {"httpMethod": "GET", "resource": "/", "path": "/", "headers": {}, "requestContext": {}}

    def start(function: Function) -> float:
        begun = time.monotonic()
        deployed.invoke(function.logical_id, nothing)
        return time.monotonic() - begun

    with ThreadPoolExecutor(_THREADS) as pool:
        started = {one.name: pool.submit(start, one) for one in _CALLED if one.route and one in chosen}
        yield started
        took = [future.result() for future in started.values()]
    if took:
        say(f"median cold start {statistics.median(took):.2f} s, {_THREADS} at a time")


@pytest.mark.parametrize("function", _CALLED, ids=_name)
def test_a_function_succeeds_under_its_own_role(
    function: Function, deployed: Deployed, the_world: World, cold_starts: dict[str, "Future[float]"]
) -> None:
    if function.name in cold_starts:
        cold_starts[function.name].result()
    calls.succeed(function, deployed, the_world)
    if not function.name.startswith(_KEPT):
        deployed.release(function.logical_id)
