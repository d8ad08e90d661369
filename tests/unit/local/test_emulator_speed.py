"""What makes the emulator faster gives what the emulator gives."""

import copy
import threading
import time
from decimal import Decimal
from typing import Any

import pytest

from local import emulator_speed


class _Items(dict[str, Any]):
    """A kind of dict that a copy must not lose."""


@pytest.mark.parametrize(
    "value",
    [
        {"pk": {"S": "é"}, "list": {"L": [{"N": "1"}, {"B": b"\x00"}, {"NULL": True}]}, "none": None, "n": 1.5},
        [[], {}, "", 0],
        {"number": Decimal("1.10"), "set": {"a", "b"}, "tuple": ([1], [2])},
        _Items(a=[1], b=_Items()),
    ],
)
def test_a_copy_is_equal_and_shares_nothing(value: Any) -> None:
    made = emulator_speed.copied(value)
    assert made == copy.deepcopy(value) == value
    assert type(made) is type(value)
    assert not _parts(made) & _parts(value)


class _Store:
    """As the emulator's services keep what they have."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data: dict[Any, Any] = {}


def test_a_store_is_copied_with_what_it_keeps() -> None:
    store = _Store()
    store._data["account", "name"] = {"a": [1]}
    made = emulator_speed.copied({"things": store}, (_Store,))["things"]
    assert type(made) is _Store
    assert made._data == store._data
    assert not _parts(made._data) & _parts(store._data)


def _parts(value: Any) -> set[int]:
    """The identities of all that can be changed in a value."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple | set) else ()
    own = {id(value)} if isinstance(value, dict | list | set) else set()
    return own.union(*map(_parts, inside))


def test_work_is_begun_at_most_once_in_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    begun: list[float] = []
    work = emulator_speed.paced(lambda: begun.append(now[0]), 0.5)
    work()
    now[0] += 0.25
    work()
    now[0] += 2
    work()
    assert begun == [100.0, 100.5, 102.5]
    assert slept == [0.0, 0.25, 0.0]


def test_a_wake_is_an_event() -> None:
    wake = threading.Event()
    wake.__class__ = emulator_speed._Wake
    waiting = threading.Thread(target=wake.wait)
    waiting.start()
    wake.set()
    wake.set()
    waiting.join(10)
    assert not waiting.is_alive()
    wake.clear()
    assert not wake.is_set()
