"""Accidents between any two writes: a process that dies there, or another one that is faster."""

from collections.abc import Callable
from typing import Literal, NoReturn

from tests.unit.support.machine import WorkerDied

Moment = Literal["before", "after"]


def die() -> NoReturn:
    """The process is killed."""
    raise WorkerDied


class Faults:
    """What happens around each write of the platform, by its number from 0.

    Attributes:
        writes: how many were begun, refused ones too.
        happened: how many accidents there were.
    """

    def __init__(self) -> None:
        self.writes = 0
        self.happened = 0
        self._actions: dict[tuple[int, Moment], Callable[[], object]] = {}
        self._inside = False

    def at(self, number: int, moment: Moment, action: Callable[[], object]) -> None:
        """Do this before or after that write. Writes of the action itself are not counted."""
        self._actions[self.writes + number, moment] = action

    def around(self, write: Callable[[], None]) -> None:
        if self._inside:
            write()
            return
        number = self.writes
        self.writes += 1
        self._act(number, "before")
        write()
        self._act(number, "after")

    def _act(self, number: int, moment: Moment) -> None:
        action = self._actions.get((number, moment))
        if action is None:
            return
        self.happened += 1
        self._inside = True
        try:
            action()
        finally:
            self._inside = False
