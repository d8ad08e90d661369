"""Every built function starts in Lambda's own runtime and answers its event (the servers of streams: test_streams)."""

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.conftest import Say
from tests.deploy.deployment import Deployed
from tests.deploy.real_runtime import Kit, Process
from tests.deploy.worlds import World
from tests.house import success
from tests.house.repository import Function, functions

# Two processors, so two cold starts at a time.
_THREADS = 2
_CALLED = [one for one in functions() if one.script is None]
# A route that no function has, so that nothing happens.
_NOTHING = {"httpMethod": "GET", "resource": "/", "path": "/", "headers": {}, "requestContext": {}}
# What may be imported: the runtime's, the layer's; and what this repository and its tools would add.
_IN_LAMBDA = ["json", "boto3", "awslambdaric", "shared", "pydantic", "uvicorn"]
_NOT_IN_LAMBDA = ["local", "tests", "functions", "pytest", "moto", "yaml", "starlette", "pip", "samcli"]
_OF_THE_RUNTIME = ("AWS_", "_HANDLER", "TZ", "LC_CTYPE")
_CONFIGURATION = {"Environment": {"Variables": {}}, "FunctionName": "probe", "MemorySize": 512}
_PROBE = """
import os, sys
from importlib.util import find_spec

def handler(names, context):
    found = [name for name in names if find_spec(name)]
    return {"found": found, "path": sys.path, "variables": sorted(os.environ)}
"""


def _name(function: Function) -> str:
    return function.name


@pytest.fixture(scope="module")
def kit(built: Path, deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return Kit(built, deployed.python, tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def environment_of(kit: Kit, deployed: Deployed, outside: str) -> Callable[[Function], dict[str, str]]:
    """The template's variables for a function, as they were deployed, and Lambda's own."""

    def environment(function: Function) -> dict[str, str]:
        name = deployed.resources[function.logical_id]
        configuration = deployed.client("lambda").get_function_configuration(FunctionName=name)
        own = kit.environment(kit.built / function.logical_id, configuration, deployed.url)
        # The tool of these tests stands on this machine.
        return own | {"TOOL_PRIVATE_HOSTS": outside.removeprefix("http://")}

    return environment


@pytest.fixture(scope="module")
def cold(
    kit: Kit,
    environment_of: Callable[[Function], dict[str, str]],
    request: pytest.FixtureRequest,
    say: Say,
) -> Iterator[Callable[[Function], Process]]:
    """Gives the started process of a function; those of the tests that follow are started meanwhile."""
    chosen = [item.callspec.params.get("function") for item in request.session.items if hasattr(item, "callspec")]
    took: list[float] = []
    with ExitStack() as undo, ThreadPoolExecutor(_THREADS) as pool:

        def start(function: Function) -> Process:
            begun = time.monotonic()
            package = kit.built / function.logical_id
            process = Process(kit, package, function.properties["Handler"], environment_of(function))
            undo.callback(process.end)
            if function.route:
                process.invoke(_NOTHING)
                took.append(time.monotonic() - begun)
            return process

        begun = time.monotonic()
        started = {one.name: pool.submit(start, one) for one in _CALLED if one in chosen}
        yield lambda function: started[function.name].result()
        cold_starts = f", median cold start {statistics.median(took):.2f} s" if took else ""
        say(f"{len(started)} functions in Lambda's runtime in {time.monotonic() - begun:.0f} s{cold_starts}")


@pytest.mark.parametrize("function", _CALLED, ids=_name)
def test_a_function_answers_its_event_in_lambdas_runtime(
    function: Function, cold: Callable[[Function], Process], the_world: World
) -> None:
    process = cold(function)
    the_world.make()
    success.prove(function, process.invoke(the_world.event(function)))
    process.end()


def test_the_runtime_sees_no_more_than_lambda_has(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text(_PROBE)
    environment = kit.environment(tmp_path, _CONFIGURATION, aws="http://127.0.0.1:9")
    process = Process(kit, tmp_path, "probe.handler", environment)
    try:
        seen = process.invoke([*_IN_LAMBDA, *_NOT_IN_LAMBDA])
    finally:
        process.end()
    assert seen["found"] == _IN_LAMBDA
    assert not [
        path
        for path in seen["path"]
        if path.endswith("site-packages") and not path.startswith(str(kit.python.parent.parent))
    ]
    assert not [name for name in seen["variables"] if name not in environment and not name.startswith(_OF_THE_RUNTIME)]
