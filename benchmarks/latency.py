"""How long do a read, a list, a create, a one-tool run and a stream's first token take on the local platform?

`python -m benchmarks.latency` measures this alone. The model and the tool answer at once, from a process of their own,
so what is measured is the platform and the emulator. Each round measures every row, with 1 and with 16 clients.
"""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from benchmarks import floor, part, timing
from benchmarks.client import Client
from benchmarks.platform import Platform, running
from benchmarks.timing import Sample

ROUNDS, QUICK_ROUNDS = 10, 3
CLIENTS = (1, 16)
RUN = "POST /runs (one tool)"
READ = "GET /agents/{id}"
FIRST_TOKEN = "POST /runs/stream, first token"
# Requests in a round by one client; by all of more clients twice as many.
_COUNTS = {READ: 100, "GET /agents?limit=50": 50, "POST /agents": 50, RUN: 20, FIRST_TOKEN: 20}
_FLOOR_COUNT, _FILLERS = 40, 60

Operation = Callable[[Client], object]


def steps() -> int:
    """How often `measure` tells its progress."""
    return part.rounds(ROUNDS, QUICK_ROUNDS)


def measure(platform: Platform, stub: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure every operation, round by round.

    Args:
        progress: told what begins.

    Returns:
        How it was sampled, and a row for each operation and number of clients, the floor's first.
    """
    rounds = steps()
    operations = _operations(platform, stub)
    found: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for number in range(rounds):
        progress(f"latency, round {number + 1} of {rounds}")
        for clients in CLIENTS:
            times = 1 if clients == 1 else 2
            count = part.fewer(_FLOOR_COUNT) * times
            found[floor.SDK, clients].append(
                timing.sample(floor.Sdk.run, lambda: floor.Sdk(stub), floor.Sdk.close, clients, count)
            )
            found[floor.BARE, clients].append(
                timing.sample(floor.Bare.run, lambda: floor.Bare(stub), floor.Bare.close, clients, count)
            )
            for name, operation in operations.items():
                count = part.fewer(_COUNTS[name]) * times
                found[name, clients].append(timing.sample(operation, platform.client, Client.close, clients, count))
    rows = [
        {"operation": name, "clients": clients, **timing.row(done), **timing.ratio(done, found[floor.SDK, clients])}
        for (name, clients), done in sorted(found.items(), key=lambda one: (*found,).index((one[0][0], 1)))
    ]
    return part.about() | {"rounds": rounds, "rows": rows}


def one_tool_agent(platform: Platform, stub: str, name: str) -> str:
    """Make an agent of this name with one tool, which is made unless it is there; its id."""
    client = platform.client()
    tool = {
        "name": floor.TOOL,
        "description": "Echoes a text",
        "input_schema": floor.SCHEMA,
        "endpoint": f"{stub}/echo",
    }
    there = (one for one in client.send("GET", "/tools") if one["name"] == floor.TOOL)
    used = next(there, None) or client.send("POST", "/tools", tool)
    draft = {"name": name, "system_prompt": floor.SYSTEM, "status": "published", "tool_ids": [used["id"]]}
    agent = client.send("POST", "/agents", draft)
    client.close()
    return str(agent["id"])


def run_once(client: Client, agent: str) -> str:
    """A one-tool run; its id.

    Raises:
        RuntimeError: it was none.
    """
    answer = client.send("POST", "/runs", {"agent_id": agent, "input_message": floor.PROMPT})
    if answer["status"] != "succeeded" or len(answer["tools_called"]) != 1:
        raise RuntimeError(f"not a one-tool run: {answer}")
    return str(answer["id"])


def _operations(platform: Platform, stub: str) -> dict[str, Operation]:
    agent = one_tool_agent(platform, stub, "bench")
    setup = platform.client()
    for n in range(_FILLERS):
        setup.send("POST", "/agents", {"name": f"filler {n}"})
    setup.close()
    number = itertools.count()

    def first_token(client: Client) -> float:
        begun, first = time.monotonic_ns(), 0
        for moment, name, _ in client.watch("/runs/stream", {"agent_id": agent, "input_message": "Good morning"}):
            first = first or (moment if name == "message.delta" else 0)
        if not first:
            raise RuntimeError("a stream without a token")
        return (first - begun) / 1e6

    def sent(method: str, path: str) -> Operation:
        return lambda client: client.send(method, path)

    def create(client: Client) -> Any:
        return client.send("POST", "/agents", {"name": f"made {next(number)}"})

    return {
        READ: sent("GET", f"/agents/{agent}"),
        "GET /agents?limit=50": sent("GET", "/agents?limit=50"),
        "POST /agents": create,
        RUN: lambda client: run_once(client, agent),
        FIRST_TOKEN: first_token,
    }


def main() -> None:
    from benchmarks import stub

    with stub.running() as model, running(model) as platform:
        part.alone("latency", steps(), lambda progress: measure(platform, model, progress))


if __name__ == "__main__":
    main()
