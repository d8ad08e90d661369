"""Counters: windows of the clock, several at once, and what happens at their ends."""

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.errors import TableBusy
from shared.store import counters, keys
from shared.store.counters import SECONDS, Limit
from shared.store.table import TenantStore
from tests.unit.conftest import Requests

# A moment in the middle of everything: a second after a full second, minute, hour and day.
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC).timestamp()


class Clock:
    """The time that the counters read."""

    def __init__(self, patch: pytest.MonkeyPatch, now: float = MIDNIGHT) -> None:
        self.now = now
        patch.setattr(time, "time", lambda: self.now)


@pytest.fixture
def clock(table: str, monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def accepted(store: TenantStore, limits: list[Limit], times: int) -> int:
    return sum(counters.take(store, "x", limits).accepted for _ in range(times))


@pytest.mark.parametrize("unit", SECONDS)
def test_so_many_are_accepted_in_a_window_and_again_in_the_next(store: TenantStore, clock: Clock, unit: str) -> None:
    limits = [Limit(3, unit)]
    assert accepted(store, limits, 5) == 3
    clock.now += SECONDS[unit] - 0.001
    assert accepted(store, limits, 2) == 0, "the last moment of the window"
    clock.now += 0.002
    assert accepted(store, limits, 5) == 3


def test_windows_begin_with_the_clock_and_not_with_the_first_request(store: TenantStore, clock: Clock) -> None:
    clock.now = MIDNIGHT + 59
    assert accepted(store, [Limit(1, "minute")], 2) == 1
    clock.now = MIDNIGHT + 60
    assert accepted(store, [Limit(1, "minute")], 2) == 1


def test_several_limits_hold_together_and_are_taken_all_or_none(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(2, "minute"), Limit(3, "day")]
    assert accepted(store, limits, 5) == 2
    clock.now += 60
    assert accepted(store, limits, 5) == 1, "the day's third"
    clock.now += 60
    count = counters.take(store, "x", limits)
    assert (count.accepted, count.limit, count.remaining) == (False, 3, 0)
    assert accepted(store, [Limit(2, "minute")], 5) == 2, "what the day refused was not taken from the minute"


def test_a_count_says_what_is_left_of_the_tightest_window(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(10, "minute"), Limit(5, "hour")]
    count = counters.take(store, "x", limits)
    assert (count.accepted, count.limit, count.remaining) == (True, 5, 4)
    assert count.resets_at == MIDNIGHT + 3_600
    assert count.retry_after == 3_600
    clock.now += 3_599.5
    assert count.retry_after == 1


def test_of_several_full_windows_the_last_to_end_is_said(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(1, "minute"), Limit(1, "hour")]
    counters.take(store, "x", limits)
    refused = counters.take(store, "x", limits)
    assert (refused.accepted, refused.resets_at) == (False, MIDNIGHT + 3_600)


def test_names_and_tenants_count_apart(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(1, "hour")]
    assert counters.take(store, "x", limits).accepted
    assert counters.take(store, "y", limits).accepted
    assert counters.take(TenantStore("tenant_b"), "x", limits).accepted
    assert not counters.take(store, "x", limits).accepted


def test_a_changed_limit_holds_at_once_for_what_was_taken(store: TenantStore, clock: Clock) -> None:
    assert accepted(store, [Limit(5, "hour")], 3) == 3
    assert accepted(store, [Limit(2, "hour")], 3) == 0
    assert accepted(store, [Limit(6, "hour")], 9) == 3


def test_a_counter_is_one_request_and_a_new_window_two(store: TenantStore, clock: Clock, requests: Requests) -> None:
    limits = [Limit(1, "minute"), Limit(9, "day")]

    def take() -> object:
        return counters.take(store, "x", limits)

    assert requests.of(take) == ["UpdateItem"] * 2
    assert requests.of(take) == ["UpdateItem"], "full: the old item came with the refusal"
    clock.now += 60
    assert requests.of(take) == ["UpdateItem"] * 2
    clock.now += 60
    limits[0] = Limit(2, "minute")
    take()
    assert requests.of(take) == ["UpdateItem"]


def test_an_amount_that_no_window_can_hold_asks_nothing(store: TenantStore, clock: Clock, requests: Requests) -> None:
    refused = counters.take(store, "x", [Limit(10, "hour")], 11)
    assert (refused.accepted, refused.remaining, list(requests)) == (False, 10, [])


def test_amounts_fill_a_window_to_the_brim(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(10, "hour")]
    assert counters.take(store, "x", limits, 6).remaining == 4
    assert not counters.take(store, "x", limits, 5).accepted
    assert counters.take(store, "x", limits, 4).remaining == 0


def test_what_was_taken_can_be_corrected_while_its_window_lasts(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(10, "hour")]
    count = counters.take(store, "x", limits, 8)
    counters.correct(store, "x", count.windows, -5)
    assert counters.take(store, "x", limits, 7).accepted
    counters.correct(store, "x", count.windows, 2)
    assert not counters.take(store, "x", limits).accepted, "more than the limit was used in the end"
    clock.now += 3_600
    assert counters.take(store, "x", limits, 10).accepted
    counters.correct(store, "x", count.windows, -5)
    assert not counters.take(store, "x", limits).accepted, "the window that was corrected has ended"


def test_a_clock_that_lags_counts_in_the_window_that_is_under_way(store: TenantStore, clock: Clock) -> None:
    limits = [Limit(3, "minute")]
    clock.now = MIDNIGHT + 61
    assert accepted(store, limits, 1) == 1
    clock.now = MIDNIGHT + 58
    count = counters.take(store, "x", limits)
    assert (count.remaining, count.resets_at) == (1, MIDNIGHT + 120)
    clock.now = MIDNIGHT + 61
    assert accepted(store, limits, 3) == 1


def test_the_day_is_counted_whole_and_kept_for_90_days(
    store: TenantStore, clock: Clock, items: Callable[[], list[dict[str, Any]]]
) -> None:
    limits = [Limit(2, "second")]
    for _ in range(5):
        accepted(store, limits, 3)
        clock.now += 1
    clock.now += 86_400
    accepted(store, limits, 1)
    assert counters.totals(store, "x", "2026-11-22") == {"2026-11-22": 10, "2026-11-23": 1}
    assert counters.totals(store, "x", "2026-11-23") == {"2026-11-23": 1}
    assert {int(item["expires_at"]["N"]) for item in items()} == {MIDNIGHT + n * 86_400 for n in (90, 91)}


@pytest.mark.parametrize("seed", range(12))
def test_whatever_the_times_no_window_holds_more_than_its_limit(store: TenantStore, clock: Clock, seed: int) -> None:
    """The property, at random moments around the ends of windows: as many as a count by hand, and no more."""
    chance = random.Random(seed)
    units = chance.sample(sorted(SECONDS), chance.randint(1, 4))
    limits = [Limit(chance.randint(1, 12), unit) for unit in units]
    clock.now = MIDNIGHT - chance.choice([0.5, 30, 3_000])
    by_hand: Counter[tuple[str, int]] = Counter()
    for _ in range(60):
        windows = [(unit, int(clock.now) // SECONDS[unit]) for unit in units]
        room = all(by_hand[window] < limit.amount for window, limit in zip(windows, limits, strict=True))
        count = counters.take(store, "x", limits)
        assert count.accepted == room
        assert (
            count.remaining
            == min((limit.amount - by_hand[window] - room for window, limit in zip(windows, limits, strict=True)))
            or not room
        )
        by_hand.update(windows if room else ())
        clock.now += chance.choice([0, 0, 0.2, 0.5, 1, 20, 59.9, 3_599.5])


def test_a_race_that_never_ends_is_told(store: TenantStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TenantStore, "count", lambda *_: (False, {}))
    with pytest.raises(TableBusy):
        counters.take(store, "x", [Limit(1, "hour")])


def test_two_that_begin_one_window_both_count(
    store: TenantStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one begins the window between our look and our write."""
    count = TenantStore.count
    calls = 0

    def raced(self: TenantStore, key: keys.Key, update: tuple[dict[str, str], dict[str, int]]) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            monkeypatch.setattr(TenantStore, "count", count)
            assert counters.take(store, "x", [Limit(2, "hour")]).accepted
            monkeypatch.setattr(TenantStore, "count", raced)
        return count(self, key, update)

    monkeypatch.setattr(TenantStore, "count", raced)
    assert counters.take(store, "x", [Limit(2, "hour")]).accepted
    assert not counters.take(store, "x", [Limit(2, "hour")]).accepted
