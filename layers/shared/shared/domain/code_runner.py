"""The work of the function that runs agents' own code: fetch the bundle, unpack it, run it in the sandbox, forget it.

It has no permissions. What it reads, it reads at addresses that the worker signed for this one run; what it answers,
the worker checks and writes down.
"""

import os
import tempfile
from pathlib import Path

from shared.clients import addresses
from shared.domain import archives, bundles
from shared.domain.code_tasks import Answer, Task
from shared.errors import ArchiveRefused, RunnerUnavailable
from shared.sandbox import runs
from shared.sandbox.runs import Limits

_OUTPUT_BYTES = 262_144
_MEBIBYTE = 1_048_576


def run(task: Task) -> Answer:
    """Carry out one call. Nothing stays of it: the next one unpacks its bundle anew.

    Raises:
        RunnerUnavailable: the bundle cannot be had.
    """
    place = Path(tempfile.mkdtemp(prefix="agent-"))
    try:
        # Its user must get through, and nobody may look around.
        place.chmod(0o711)
        package = place / "package"
        package.mkdir()
        _unpack(task.bundle, package)
        limits = Limits(
            seconds=task.seconds,
            memory_bytes=task.memory * _MEBIBYTE,
            output_bytes=_OUTPUT_BYTES,
            needs=frozenset(filter(None, os.environ.get("CODE_WALLS", "").split(","))),
        )
        ended = runs.run(
            package, task.entrypoint, task.payload, limits, lambda: addresses.exists(task.stop), bundles.PACKAGES
        )
    finally:
        runs.wipe(place)
    lines = [(line.at, line.level, line.message) for line in ended.logs]
    return Answer(ended.status, ended.reason, ended.result, ended.error, lines, list(ended.walls), ended.duration_ms)


def _unpack(address: str, package: Path) -> None:
    try:
        with addresses.opened(address) as bundle:
            archives.unpack(bundle, package, bundles.CAPS)
    except (OSError, ArchiveRefused) as error:
        raise RunnerUnavailable("The agent's code could not be loaded.") from error
