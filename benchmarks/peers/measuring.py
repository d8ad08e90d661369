"""Measures the systems side by side: each round asks every one of them."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from benchmarks import floor, part, timing
from benchmarks.client import Client
from benchmarks.peers import installed
from benchmarks.peers.systems import PEERS, System, Unfit, ours
from benchmarks.timing import Sample

ROUNDS, QUICK_ROUNDS = 5, 2
CLIENTS = 16
_OURS = "Agent Platform"
# Requests in a round.
_RUNS, _READS, _MANY_RUNS = 30, 60, 96
_SLOW_RUNS, _SLOW_MANY_RUNS = 3, 32


@dataclass(slots=True)
class _Found:
    runs: list[Sample] = field(default_factory=list)
    reads: list[Sample] = field(default_factory=list)
    many: list[Sample] = field(default_factory=list)


def steps() -> int:
    """How often `measure` tells its progress."""
    return part.rounds(ROUNDS, QUICK_ROUNDS) + 1


def measure(stub: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """Start all systems, then measure them in turns.

    Returns:
        How it was sampled, and a row for each system; of one that cannot be measured, why.
    """
    progress("starting the peers")
    rounds = steps() - 1
    missing: dict[str, str] = {}
    systems: dict[str, System] = {}
    with ExitStack() as stack:
        systems[_OURS] = stack.enter_context(ours(stub))
        for peer in PEERS:
            try:
                systems[peer.title] = stack.enter_context(peer.running(stub))
            except (installed.CannotInstall, Unfit) as error:
                missing[peer.title] = str(error)
        slow = {peer.title for peer in PEERS if peer.slow}
        at_start = {name: system.memory_mb() for name, system in systems.items()}
        found: dict[str, _Found] = defaultdict(_Found)
        below: list[Sample] = []
        for number in range(rounds):
            progress(f"peers, round {number + 1} of {rounds}")
            below.append(timing.sample(floor.Sdk.run, lambda: floor.Sdk(stub), floor.Sdk.close, 1, _RUNS))
            for name, system in systems.items():
                try:
                    _round(system, found[name], slow=name in slow)
                except (OSError, RuntimeError) as error:
                    missing[name] = str(error)[:200]
            systems = {name: system for name, system in systems.items() if name not in missing}
        after = {name: system.memory_mb() for name, system in systems.items()}
    rows = [{"name": floor.SDK, "version": version("openai"), "run": timing.row(below), **timing.ratio(below, below)}]
    for name, system in systems.items():
        memory = {"memory_mb": at_start[name], "memory_after_mb": after[name]}
        rows.append(_row(name, found[name], below) | memory | {"start_seconds": round(system.start_seconds, 1)})
    rows += [{"name": name, "peer": True, "missing": why} for name, why in missing.items()]
    return part.about() | {"rounds": rounds, "rows": rows}


def _round(system: System, found: _Found, *, slow: bool) -> None:
    def sampled(operation: Callable[[Client], object], clients: int, count: int) -> Sample:
        return timing.sample(operation, system.connect, Client.close, clients, count)

    client = system.connect()
    record = system.run(client)
    client.close()
    found.runs.append(sampled(system.run, 1, _SLOW_RUNS if slow else _RUNS))
    found.reads.append(sampled(lambda client: client.send("GET", record), 1, _READS))
    found.many.append(sampled(system.run, CLIENTS, _SLOW_MANY_RUNS if slow else _MANY_RUNS))


def _row(name: str, found: _Found, below: list[Sample]) -> dict[str, Any]:
    peer = next((one for one in PEERS if one.title == name), None)
    many = timing.row(found.many)
    reads = [one for sample in found.reads for one in sample.times_ms]
    return {
        "name": name,
        "version": installed.version(peer.name, peer.package) if peer else "",
        "peer": peer is not None,
        "ours": peer is None,
        "run": timing.row(found.runs),
        **timing.ratio(found.runs, below),
        "runs_per_second": many["per_second"],
        "runs_per_second_spread": many["per_second_spread"],
        "read_p50_ms": round(statistics.median(reads), 2),
    }
