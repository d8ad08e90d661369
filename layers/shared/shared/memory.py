"""What an environment remembers from one request to the next: so many things, each for a time of its own."""

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Memory(Generic[T]):
    """Values by their keys. When there are too many, the one that was kept first goes.

    Attributes:
        most: how many are remembered.
    """

    most: int = 1_000
    _kept: OrderedDict[str, tuple[float, T]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: str) -> T | None:
        """The value, unless its time is over."""
        with self._lock:
            known = self._kept.get(key)
        return known[1] if known is not None and known[0] > time.monotonic() else None

    def keep(self, key: str, value: T, until: float) -> None:
        """Remember a value until that moment of `time.monotonic()`."""
        with self._lock:
            self._kept[key] = (until, value)
            self._kept.move_to_end(key)
            if len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget a value, if there is one."""
        with self._lock:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
