"""What the operator of a deployed platform does from a terminal: `python -m operations.<command> --stack NAME`.

Each module with a `main` is a command; `--help` says what it does. They run on the operator's machine, with the
operator's AWS credentials and the platform's own rules (`shared`), against the stack that they are named, or against
an emulator by `AWS_ENDPOINT_URL`. Nothing that ships imports them (docs/decisions/0019-operators-commands.md).
"""

import sys
from pathlib import Path

# Lambda finds the layer by itself; a terminal is told where it is.
_LAYER = str(Path(__file__).parent.parent / "layers" / "shared")
if _LAYER not in sys.path:
    sys.path.append(_LAYER)
