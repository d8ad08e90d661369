"""What is deployed: the size of the layer and of each function's package."""

from pathlib import Path
from typing import Any

from tests.deploy import building

LAYER = building.LAYER
LAYER_LIMIT, PACKAGE_LIMIT = 45_000_000, 100_000
"""Bytes, unzipped. Ours: Lambda allows 262,144,000 for a function with its layers."""


def measure() -> dict[str, Any]:
    """Build the packages for this machine, and measure them.

    Returns:
        Bytes of the layer, name and bytes of the largest package, and the number of packages.
    """
    built = building.build(lambda _: None)
    found = sizes(built)
    layer = found.pop(LAYER)
    largest = max(found, key=lambda name: found[name])
    return {"layer": layer, "largest": (largest, found[largest]), "packages": len(found)}


def sizes(built: Path) -> dict[str, int]:
    """Bytes of each package that `sam build` left, unzipped; the layer is one of them.

    Args:
        built: a build folder of SAM, with a folder for each package.
    """
    return {folder.name: _size(folder) for folder in sorted(built.iterdir()) if folder.is_dir()}


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
