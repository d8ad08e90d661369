"""Does what there is already make anything dearer? `python -m benchmarks.growth` counts this alone.

A tenant with more and more agents, tools, runs, sessions, audit records and events, then more and more tenants: each
operation once at every size, with the real handlers over the emulator's own table (benchmarks/in_memory.py). Exact.
"""

import gc
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks import in_memory, part
from benchmarks.in_memory import Item, Table
from shared.domain.scopes import PLATFORM
from tests.integration.counting import counted
from tests.integration.growing import NUMBER, First, each_once

SIZES, QUICK_SIZES = (10, 1_000, 100_000), (10, 1_000, 10_000)
TENANTS, QUICK_TENANTS = (100, 10_000), (100, 1_000)
TENANT = "tenant_growth"
_TOOL_ENDPOINT = "https://tools.example.com/echo"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIRST_EVENTS = 100

Counts = tuple[int, float, float]
"""Requests, read units and write units."""


def sizes() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Of what a tenant has, and how many tenants: fewer with BENCH_QUICK."""
    return (QUICK_SIZES, QUICK_TENANTS) if part.QUICK else (SIZES, TENANTS)


def steps() -> int:
    """How often `measure` tells its progress."""
    return 2 * sum(map(len, sizes()))


def measure(progress: Callable[[str], None]) -> dict[str, Any]:
    """Count every operation at every size.

    Args:
        progress: told what begins.

    Returns:
        A row for each operation, with its counts by size.
    """
    things, many = sizes()
    found: dict[str, dict[str, Counts]] = {}
    begun = time.monotonic()
    with in_memory.running() as table, _uncollected():
        world = _World(table)
        have = 1

        def count(size: str) -> None:
            progress(f"{size}: counting")
            for operation, counts in world.counted().items():
                found.setdefault(operation, {})[size] = counts

        for number in things:
            progress(f"{number:,} of each: filling the table")
            world.grow(have, number)
            have = number
            count(f"{number:,}")
        have = 0
        for number in many:
            progress(f"{number:,} tenants: filling the table")
            world.add_tenants(have, number)
            have = number
            count(f"{number:,} tenants")
    return {
        **part.about(),
        "seconds": round(time.monotonic() - begun),
        "rows": [{"operation": operation, "counts": by_size} for operation, by_size in found.items()],
    }


@contextmanager
def _uncollected() -> Iterator[None]:
    """Nothing here is garbage, and to look for it among millions of objects takes longer than all the rest."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _World:
    """A tenant that grows, in a table that fills. What is put there by hand are copies of what the API wrote."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._api = in_memory.api(TENANT)
        self._operator = in_memory.api("operator", " ".join(["admin", *sorted(PLATFORM)]))
        tenant = self._operator.post("/tenants", {"id": TENANT, "name": TENANT, "plan": "unlimited"})
        assert tenant.status == 201, tenant.text
        self._agent = self._api.make("/agents", name=f"grown {NUMBER}")["id"]
        self._api.make("/tools", name=f"grown_{NUMBER}", endpoint=_TOOL_ENDPOINT, category="grown")
        run = {"agent_id": self._agent, "input_message": "Good morning", "session_id": f"session-{NUMBER}"}
        self._run = self._api.make("/runs", **run)["id"]
        # A refused call leaves an audit record, and nothing else.
        assert self._api.post("/agents", {"nonsense": 1}).status == 422
        mine = [item for item in table.items() if item["pk"]["S"].startswith(f"TENANT#{TENANT}#")]
        self._originals = [item for item in mine if self._is_listed(item)]
        self._log = min(
            (item for item in mine if item["pk"]["S"].endswith(f"#RUN#{self._run}")), key=lambda item: item["sk"]["S"]
        )
        # The first page is full in any case. The run's own events come before.
        self._add_events(10, _FIRST_EVENTS)
        self._entries = [item for item in table.items() if item["pk"]["S"].startswith("TENANT#_operator#")]
        self._names = 0

    def _is_listed(self, item: Item) -> bool:
        """Whether it stands with all others of its kind, and not below one of them."""
        below = item["pk"]["S"].replace(self._agent, "") if item["pk"]["S"].endswith("#RUN") else item["pk"]["S"]
        text = json.dumps(item)
        return not _ID.search(below) and bool(_ID.search(text) or NUMBER in text)

    def grow(self, begin: int, end: int) -> None:
        """More of all that stands in lists, as many of each; the runs are the first agent's, too, and its log grows."""
        for original in self._originals:
            make = _copier(
                original, keep={self._agent} if original["pk"]["S"].endswith(f"{self._agent}#RUN") else set()
            )
            self._table.put(make(number) for number in range(begin, end))
        self._add_events(begin + _FIRST_EVENTS, end + _FIRST_EVENTS)

    def _add_events(self, begin: int, end: int) -> None:
        event = {name: value for name, value in self._log.items() if name not in {"parts", "by"}}
        self._table.put(event | {"sk": {"S": f"EVENT#{number:06d}"}} for number in range(begin, end))

    def add_tenants(self, begin: int, end: int) -> None:
        """More tenants in the operator's list, each with what this one had at first."""
        for number in range(begin, end):
            name = f"tenant_g{number:05d}"
            self._table.put(_renamed(item, TENANT, name) for item in (*self._originals, *self._entries))

    def counted(self) -> dict[str, Counts]:
        """Each operation once."""
        self._names += 1
        # As long each time.
        name = f"{self._names:07d}x"
        found: dict[str, Counts] = {}

        def count(operation: str, body: Any = None, path: str = "", *, by_operator: bool = False) -> Any:
            api = self._operator if by_operator else self._api
            method, _, route = operation.partition(" ")
            with counted() as tally:
                answer = api.call(method, path or route) if body is None else api.call(method, path or route, body)
            assert answer.status < 300, f"{operation}: {answer.text}"
            found[operation] = tally.total, tally.read_units, tally.write_units
            return answer.json if answer.text else None

        first = First(TENANT, self._agent, self._run, _TOOL_ENDPOINT)
        each_once(first, name, count)
        return found


def _copier(original: Item, keep: Iterable[str]) -> Callable[[int], Item]:
    """Makes the copy of this number: with its own ids and names, and with all else in common, since memory is short."""
    ids = {name: set(_ID.findall(_text(value))) - set(keep) for name, value in original.items()}
    changing = [name for name, value in original.items() if ids[name] or NUMBER in _text(value)]
    texts = {name: (_text(original[name]), next(iter(original[name]))) for name in changing}
    # A stamp makes the reader of the table's stream write an audit record; these have theirs.
    common = {name: value for name, value in original.items() if name not in changing and name != "by"}

    def copy(number: int) -> Item:
        made = dict(common)
        for name, (text, kind) in texts.items():
            if name == "by":
                continue
            new = text.replace(NUMBER, f"{number:06d}")
            for one in ids[name]:
                new = new.replace(one, f"{one[:-6]}{number:06x}")
            made[name] = {kind: new if kind == "S" else json.loads(new)}
        return made

    return copy


def _text(value: dict[str, Any]) -> str:
    ((kind, content),) = value.items()
    return content if kind == "S" else json.dumps(content)


def _renamed(item: Item, old: str, new: str) -> Item:
    return {
        name: {"S": value["S"].replace(old, new)} if old in value.get("S", "") else value
        for name, value in item.items()
        if name != "by"
    }


if __name__ == "__main__":
    part.alone("growth", steps(), measure)
