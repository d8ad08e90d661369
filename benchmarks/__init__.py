"""Measurements of the platform. Each module answers one question; `python -m benchmarks` runs all of them."""

import sys
from pathlib import Path

# Lambda finds the layer by itself; a terminal is told where it is.
_LAYER = str(Path(__file__).parent.parent / "layers" / "shared")
if _LAYER not in sys.path:
    sys.path.append(_LAYER)
