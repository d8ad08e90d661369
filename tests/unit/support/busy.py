"""What is said of seconds on a machine that may be busy with other things."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_TRIES = 10


def in_time(seconds: float, action: Callable[[], T], holds: Callable[[T], bool] = lambda _: True) -> T:
    """What an action returns that takes no longer than so many seconds, at the best of several tries.

    Args:
        holds: what is true of it then.
    """
    for _ in range(_TRIES):
        begun = time.monotonic()
        found = action()
        if time.monotonic() - begun <= seconds and holds(found):
            return found
    raise AssertionError(f"not once in {_TRIES} tries within {seconds} s as it should be: the last was {found}")
