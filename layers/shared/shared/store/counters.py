"""Exact counters: so many in each window of the clock, whoever counts and however many at once.

A name has one item a day, which holds, for each kind of window, the number of the window that is under way and how
much of it is used. One UpdateItem takes from all windows of a name at once, on the condition that each has room, so
they are taken all or none. When a window has ended, the first to notice begins the next one on the condition that
nobody else did. Windows are aligned to the clock (UTC) and none is longer than a day, so a day's item begins empty.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.errors import TableBusy
from shared.store import keys
from shared.store.table import TenantStore

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
"""The windows that there are."""

_KEPT_DAYS = 90
# Each failed try means that another one got through, or that a window ended.
_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class Limit:
    """So much in each window of a kind (`unit`)."""

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Count:
    """How a counter stands after it was asked.

    Attributes:
        accepted: whether the amount was taken.
        limit, remaining, resets_at: of the window with the least room; of several that are full, of the last to end.
            `resets_at` is in epoch seconds.
        windows: the number of each window that the amount was taken from, by unit.
    """

    accepted: bool
    limit: int
    remaining: int
    resets_at: int
    windows: Mapping[str, int]

    @property
    def retry_after(self) -> int:
        """Whole seconds until there is room again, at least 1."""
        return max(1, math.ceil(self.resets_at - time.time()))


def take(store: TenantStore, name: str, limits: Sequence[Limit], amount: int = 1) -> Count:
    """Take an amount from every window of a name, or from none; 1 request, up to 3 where a window begins.

    Args:
        limits: at least one, each with a unit of its own.

    Raises:
        TableBusy: so many others count that ours did not get through; nothing was taken.
    """
    moment = int(time.time())
    key = keys.counter(name, _day(moment))
    windows = {limit.unit: moment // SECONDS[limit.unit] for limit in limits}
    # The number that stands in the item of a window that has ended; None if there is none yet.
    ended: dict[str, int | None] = {}
    used: Mapping[str, int] = {}
    if not (full := _full(limits, windows, used, amount)):
        for _ in range(_ATTEMPTS):
            held, used = store.count(key, _taking(limits, windows, ended, amount, moment))
            if held:
                return _count(True, limits, windows, used)
            # Another one's clock may be ahead of ours; there is one window at a time.
            windows = {unit: max(number, used.get(f"{unit}_no", 0)) for unit, number in windows.items()}
            if full := _full(limits, windows, used, amount):
                break
            ended = {unit: used.get(f"{unit}_no") for unit, n in windows.items() if used.get(f"{unit}_no") != n}
        else:
            raise TableBusy("too many count the same at once")
    return _count(False, full, windows, used)


def correct(store: TenantStore, name: str, windows: Mapping[str, int], by: int) -> None:
    """Change what `take` took from these windows; 1 request. Windows that have ended stay as they were."""
    unit, number = next(iter(windows.items()))
    changes = ", ".join([f"{unit}_used :by" for unit in windows] + ["counted :by"])
    condition = " AND ".join(f"{unit}_no = :{unit}_no" for unit in windows)
    values = {":by": by} | {f":{unit}_no": number for unit, number in windows.items()}
    update = {"UpdateExpression": f"ADD {changes}", "ConditionExpression": condition}
    store.count(keys.counter(name, _day(number * SECONDS[unit])), (update, values))


def totals(store: TenantStore, name: str, since: str) -> dict[str, int]:
    """What was taken on each day from `since` on, such as `2026-11-21`; 1 request."""
    page = store.query(keys.counters(name), limit=None, since=since)
    return {item.sort: int(item.amounts["counted"]) for item in page.items}


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).date().isoformat()


def _taking(
    limits: Sequence[Limit], windows: Mapping[str, int], ended: Mapping[str, int | None], amount: int, moment: int
) -> tuple[dict[str, str], dict[str, int]]:
    """The update and its values."""
    values = {":amount": amount, ":expires_at": (moment // 86_400 + _KEPT_DAYS) * 86_400}
    sets, adds, conditions = ["expires_at = :expires_at"], ["counted :amount"], []
    for limit in limits:
        unit = limit.unit
        values[f":{unit}_no"] = windows[unit]
        if unit in ended:
            sets += [f"{unit}_no = :{unit}_no", f"{unit}_used = :amount"]
            stands = ended[unit]
            if stands is None:
                conditions.append(f"attribute_not_exists({unit}_no)")
            else:
                values[f":{unit}_ended"] = stands
                conditions.append(f"{unit}_no = :{unit}_ended")
        else:
            adds.append(f"{unit}_used :amount")
            values[f":{unit}_room"] = limit.amount - amount
            conditions.append(f"{unit}_no = :{unit}_no AND {unit}_used <= :{unit}_room")
    expression = f"SET {', '.join(sets)} ADD {', '.join(adds)}"
    return {"UpdateExpression": expression, "ConditionExpression": " AND ".join(conditions)}, values


def _used(limit: Limit, windows: Mapping[str, int], item: Mapping[str, int]) -> int:
    now = item.get(f"{limit.unit}_no") == windows[limit.unit]
    return item.get(f"{limit.unit}_used", 0) if now else 0


def _full(limits: Sequence[Limit], windows: Mapping[str, int], item: Mapping[str, int], amount: int) -> list[Limit]:
    """The limits that have no room for the amount."""
    return [limit for limit in limits if _used(limit, windows, item) + amount > limit.amount]


def _count(accepted: bool, limits: Sequence[Limit], windows: Mapping[str, int], item: Mapping[str, int]) -> Count:
    def room(limit: Limit) -> int:
        return max(0, limit.amount - _used(limit, windows, item))

    def end(limit: Limit) -> int:
        return (windows[limit.unit] + 1) * SECONDS[limit.unit]

    shown = min(limits, key=lambda limit: (room(limit), -end(limit))) if accepted else max(limits, key=end)
    return Count(accepted, shown.amount, room(shown), end(shown), windows)
