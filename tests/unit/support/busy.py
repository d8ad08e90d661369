"""What is said of seconds on a machine that may be busy with other things."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_TRIES = 10


def in_time(seconds: float, action: Callable[[], T], holds: Callable[[T], bool] = lambda _: True) -> T:
    """What an action returns that takes no longer than so many seconds, at the best of several tries.

    What this process waits for a processor meanwhile is not counted, where the kernel tells.

    Args:
        holds: what is true of it then.
    """
    for _ in range(_TRIES):
        begun, waited = time.monotonic(), _waited()
        found = action()
        if time.monotonic() - begun - max(0.0, _waited() - waited) <= seconds and holds(found):
            return found
    raise AssertionError(f"not once in {_TRIES} tries within {seconds} s as it should be: the last was {found}")


def _waited() -> float:
    """Seconds for which threads of this process were ready to run and did not (proc(5), schedstat)."""
    nanoseconds = 0
    for thread in Path("/proc/self/task").glob("*"):
        with suppress(OSError, IndexError):
            nanoseconds += int((thread / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9
