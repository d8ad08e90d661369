"""What agents' own code can do on this machine because a wall of the sandbox is not to be had here."""

from collections.abc import Set
from pathlib import Path
from tempfile import TemporaryDirectory


def standing() -> frozenset[str]:
    """The walls that a run has here; found out by running an agent that does nothing, while the platform runs."""
    # Only then is the layer to be found.
    from shared.sandbox import runs

    with TemporaryDirectory() as folder:
        Path(folder, "nothing.py").write_text("def handle(payload):\n    return None\n")
        return frozenset(runs.run(Path(folder), "nothing:handle", None).walls)


def gaps(walls: Set[str]) -> list[str]:
    """What these walls do not keep an agent from, each a line; see docs/code-agents.md."""
    found = []
    if "namespaces" not in walls:
        whose = "everybody on this machine" if "user" in walls else "you"
        found.append(f"read the files that {whose} can read")
    if not walls & {"namespaces", "filter"}:
        found.append("use the network, start processes and leave them behind")
    if "filter" not in walls:
        found.append("make any system call")
    return found
