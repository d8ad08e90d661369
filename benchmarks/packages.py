"""What is deployed: the size of the layer and of each function's package, and what a cold start costs the processor."""

import os
import resource
import subprocess
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.deploy import building, lambdas_python

LAYER = building.LAYER
LAYER_LIMIT, PACKAGE_LIMIT = 45_000_000, 100_000
"""Bytes, unzipped. Ours: Lambda allows 262,144,000 for a function with its layers."""

_SAMPLES = 5
# The package and the module: a read, a write that starts a run, the way in, and the workers.
_COLD_STARTS = {
    "Python alone": ("AgentsGet", "sys"),
    "agents/get": ("AgentsGet", "get"),
    "runs/start": ("RunsStart", "start"),
    "authorizer/authorize": ("AuthorizerAuthorize", "authorize"),
    "agent_run/call_model": ("AgentRunCallModel", "call_model"),
    "agent_run/call_tool": ("AgentRunCallTool", "call_tool"),
}


def measure() -> dict[str, Any]:
    """Build the packages for this machine, and measure them.

    Returns:
        Bytes of the layer, name and bytes of the largest package, the number of packages, and the cold starts.
    """
    built = building.build(lambda _: None)
    found = sizes(built)
    layer = found.pop(LAYER)
    largest = max(found, key=lambda name: found[name])
    with TemporaryDirectory() as folder:
        python = lambdas_python.make(Path(folder))
        starts = {name: _cold_start_ms(python, built, *where) for name, where in _COLD_STARTS.items()}
    return {"layer": layer, "largest": (largest, found[largest]), "packages": len(found), "cold_start_ms": starts}


def sizes(built: Path) -> dict[str, int]:
    """Bytes of each package that `sam build` left, unzipped; the layer is one of them.

    Args:
        built: a build folder of SAM, with a folder for each package.
    """
    return {folder.name: _size(folder) for folder in sorted(built.iterdir()) if folder.is_dir()}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _cold_start_ms(python: Path, built: Path, package: str, module: str) -> int:
    """The processor's time from the start of Python to the handler being there, in ms: the least of some samples.

    Args:
        python: an interpreter with what Lambda's runtime has, of the version and processor that the layer is built for.
        module: the handler's, inside the package.
    """
    environment = {"PYTHONPATH": f"{built / LAYER}/python", "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    environment |= {"TABLE_NAME": "table", "AWS_DEFAULT_REGION": "eu-central-1"}
    samples = [
        _processor_seconds([str(python), "-c", f"import {module}"], built / package, environment)
        for _ in range(_SAMPLES)
    ]
    return round(1000 * min(samples))


def _processor_seconds(command: Iterable[str], folder: Path, environment: dict[str, str]) -> float:
    def used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = used()
    subprocess.run(list(command), cwd=folder, env=environment, check=True)
    return used() - before
