"""The event log: numbers without gaps, one writer for each, readable from any point."""

from typing import Any

import pytest

from shared.errors import ConditionFailed
from shared.store import run_log
from shared.store.table import TenantStore
from tests.unit.conftest import Requests

SIZES = [1, 32, 1, 31, 2]


def batch(size: int, start: int = 0) -> list[tuple[str, dict[str, Any]]]:
    return [("e", {"n": start + n}) for n in range(1, size + 1)]


@pytest.fixture
def long(store: TenantStore) -> TenantStore:
    """A log of batches of many sizes, up to the largest."""
    tail = 0
    for size in SIZES:
        store.write(run_log.append("r", tail, batch(size, tail)))
        tail += size
    return store


def test_numbers_run_through_all_batches(long: TenantStore) -> None:
    log = run_log.read(long, "r")
    assert [event.id for event in log.events] == list(range(1, sum(SIZES) + 1))
    assert [event.data["n"] for event in log.events] == list(range(1, sum(SIZES) + 1))
    assert log.tail == sum(SIZES)


def test_read_after_any_point(long: TenantStore, requests: Requests) -> None:
    everything = run_log.read(long, "r").events
    requests.clear()
    for after in range(sum(SIZES) + 5):
        for limit in (1, 33):
            assert run_log.read_after(long, "r", after, limit) == everything[after : after + limit]
    assert requests == ["Query"] * 2 * (sum(SIZES) + 5)


def test_empty_log(store: TenantStore) -> None:
    log = run_log.read(store, "r")
    assert (log.events, log.heads, log.tail) == ([], {}, 0)
    assert run_log.read_after(store, "r", 0, 10) == []


def test_heads_stand_beside_the_first_batch(store: TenantStore) -> None:
    store.write(run_log.append("r", 0, batch(1), heads={"plan": "p"}))
    store.write(run_log.append("r", 1, batch(1)))
    assert run_log.read(store, "r").heads == {"plan": "p"}


def test_second_writer_behind_one_tail_is_refused(store: TenantStore) -> None:
    store.write(run_log.append("r", 0, [("first", {})]))
    with pytest.raises(ConditionFailed):
        store.write(run_log.append("r", 0, [("second", {})]))
    assert [event.event for event in run_log.read(store, "r").events] == ["first"]


def test_runs_and_tenants_are_apart(store: TenantStore) -> None:
    other = TenantStore("tenant_b")
    store.write(run_log.append("r", 0, [("mine", {})]))
    other.write(run_log.append("r", 0, [("theirs", {})]))
    store.write(run_log.append("r2", 0, [("another", {})]))
    assert [event.event for event in run_log.read(store, "r").events] == ["mine"]


@pytest.mark.parametrize("size", [0, 33])
def test_batches_that_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 32"):
        run_log.append("r", 0, batch(size))


def test_data_comes_back_as_it_was(store: TenantStore) -> None:
    data = {"text": 'ü "\n\u0000 \U0001f375', "n": [1, 1.5, None, True, {}, []], "big": 10**40}
    store.write(run_log.append("r", 0, [("e", data)]))
    (event,) = run_log.read(store, "r").events
    assert event.data == data
    assert event.created_at.endswith("Z")
