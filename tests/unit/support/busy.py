"""What is said of seconds on a machine that may be busy with other things."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_TRIES = 10
_SAMPLE_SECONDS = 0.05
_SAMPLE = range(500_000)
_ORDINARY_SECONDS = 0.006
"""Of work that the sum of the sample takes where nothing else runs."""


def in_time(seconds: float, action: Callable[[], T], holds: Callable[[T], bool] = lambda _: True) -> T:
    """What an action returns that takes no longer than so many seconds, at the best of several tries.

    Where others use the processors too, it may take as much longer as any piece of work does.

    Args:
        holds: what is true of it then.
    """
    for _ in range(_TRIES):
        begun = time.monotonic()
        found = action()
        took = time.monotonic() - begun
        if (took <= seconds or took <= seconds * _slowness()) and holds(found):
            return found
    raise AssertionError(f"not once in {_TRIES} tries within {seconds} s as it should be: the last was {found}")


@contextmanager
def in_work_of(seconds: float) -> Iterator[None]:
    """Fails a block that keeps a processor busy for longer; as much longer as a processor is slower than others."""
    begun = time.thread_time()
    yield
    took = time.thread_time() - begun
    assert took <= seconds or took <= seconds * _sluggishness()


def _sluggishness() -> float:
    begun = time.thread_time()
    sum(_SAMPLE)
    return max(1.0, (time.thread_time() - begun) / _ORDINARY_SECONDS)


def _slowness() -> float:
    """How many times longer than alone a piece of work takes just now."""
    begun, work = time.monotonic(), time.thread_time()
    while time.thread_time() - work < _SAMPLE_SECONDS:
        pass
    return max(1.0, (time.monotonic() - begun) / (time.thread_time() - work))
