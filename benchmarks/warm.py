"""How long does a function work on an event, once its environment runs? `python -m benchmarks.warm` measures it alone.

Each function as `sam build` made it, under Lambda's runtime interface emulator and beside a deployed stack, answers its
event of events/ some times, in the world that the events speak of. What it does on a processor is what Lambda's bill
depends on; waiting for others is not measured, since the emulator is not AWS.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from starlette.applications import Starlette

from benchmarks import part
from local import ports, standins
from local.servers import LoopThread
from shared.domain import passwords
from tests.deploy import building, deployment, worlds
from tests.deploy.deployment import Deployed
from tests.deploy.real_runtime import Kit, Process
from tests.deploy.worlds import World
from tests.house import success
from tests.house.repository import Function, functions

CALLS, WARM_UP = 9, 2
_LOGIN = "auth/login"


@dataclass(frozen=True, slots=True)
class _Call:
    cpu_ms: float
    wall_ms: float
    peak_mb: float


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Let every function that Lambda calls itself answer its event.

    Args:
        progress: told what begins.

    Returns:
        A row for each function: the least time on a processor and on the clock of `CALLS` calls, and its memory's peak.
    """
    progress("sam build")
    built = building.build(lambda _: None)
    with ExitStack() as undo:
        scratch = Path(undo.enter_context(TemporaryDirectory()))
        outside = undo.enter_context(_outside())
        parameters = worlds.parameters(outside)
        stack = undo.enter_context(
            deployment.deployed(built, scratch, _port(), parameters, outside, lambda text: progress(text))
        )
        usual = passwords.ROUNDS
        undo.enter_context(worlds.seen_from_here(stack, outside))
        kit = Kit(built, stack.python, scratch)
        rows = []
        for function in subjects():
            progress(function.name)
            # A password is checked at the cost at which it was hashed: only there it may take its time.
            passwords.ROUNDS = usual if function.name == _LOGIN else 4
            calls = list(_calls(kit, stack, World(stack, outside), function, outside))
            rows.append(
                {
                    "name": function.name,
                    "function": function.logical_id,
                    "cpu_ms": round(min(call.cpu_ms for call in calls), 1),
                    "wall_ms": round(min(call.wall_ms for call in calls), 1),
                    "peak_mb": round(max(call.peak_mb for call in calls)),
                }
            )
    return {**part.about(), "calls": CALLS, "rows": rows}


def steps() -> int:
    """How often `measure` tells its progress; never, when it must be quick: to deploy a stack alone takes a minute."""
    return 0 if part.QUICK else len(subjects()) + 5


def subjects() -> list[Function]:
    """All but the servers of streams, which an adapter calls, not the runtime."""
    return [one for one in functions() if one.script is None]


@contextmanager
def _outside() -> Iterator[str]:
    """What stands around the platform: a model and a tool."""
    listener, loop = ports.listen("127.0.0.1", 0, "stand-ins"), LoopThread()
    stop = loop.serve(Starlette(routes=standins.outside()), listener)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop()
        loop.close()


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _calls(kit: Kit, stack: Deployed, world: World, function: Function, outside: str) -> Iterator[_Call]:
    name = stack.resources[function.logical_id]
    configuration = stack.client("lambda").get_function_configuration(FunctionName=name)
    package = kit.built / function.logical_id
    environment = kit.environment(package, configuration, stack.url)
    environment |= {"TOOL_PRIVATE_HOSTS": outside.removeprefix("http://")}
    process = Process(kit, package, function.properties["Handler"], environment)
    event: Any = None
    changes = function.route is None or function.route[0] != "GET"
    try:
        for number in range(WARM_UP + CALLS):
            if changes or not number:
                world.make()
                event = world.event(function)
            before, begun = _spent(process), time.perf_counter()
            answer = process.invoke(event)
            wall_ms = (time.perf_counter() - begun) * 1_000
            if not number:
                success.prove(function, answer)
            elif number >= WARM_UP:
                yield _Call(_spent(process) - before, wall_ms, _peak(process))
    finally:
        process.end()


def _spent(process: Process) -> float:
    """Milliseconds that the function's process has been on a processor (proc(5), schedstat of its threads)."""
    try:
        threads = list((process.python() / "task").iterdir())
    except ValueError:
        # Python starts with the first event.
        return 0.0
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e6


def _peak(process: Process) -> float:
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", (process.python() / "status").read_text())
    return int(kilobytes) / 1024


if __name__ == "__main__":
    part.alone("warm", steps(), measure)
