"""The start of an environment of Lambda: the collector of garbage rests until the function's handler is made.

What a function imports stays, and to look through it again and again for garbage costs a tenth of the start. The local
runtime and tests have many functions in one process and are left alone.
"""

import gc
import os

IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ
"""Whether this process is an environment of Lambda, or of its interface emulator: only they set this variable."""

ONE_THREAD = IN_LAMBDA and "AWS_LAMBDA_EXEC_WRAPPER" not in os.environ
"""Whether it has one event at a time on one thread: so all but the servers of streams, which a wrapper starts."""


def begin() -> None:
    """Called before anything of the platform is imported."""
    if IN_LAMBDA:
        gc.disable()


def end() -> None:
    """Called where the handler is made: the collector works again, and never looks at what is there now."""
    if IN_LAMBDA and not gc.isenabled():
        gc.freeze()
        gc.enable()
