"""The stamp that a request's writes carry, and the numbers that add up."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from shared.errors import ConditionFailed
from shared.store.keys import DirectoryKey, Key
from shared.store.table import Add, Change, Exists, Put, Remove, TenantStore, Write

K, OTHER, THIRD = Key("THING", "1"), Key("THING", "2"), Key("THING", "3")
OUTSIDE = DirectoryKey("KEY#1", "KEY")
Items = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stamping(table: str) -> TenantStore:
    return TenantStore("tenant_a", by="stamp")


def stamps(items: Items) -> dict[str, str]:
    """The stamps in the table, by sort key."""
    return {item["sk"]["S"]: item["by"]["S"] for item in items() if "by" in item}


@pytest.mark.parametrize(
    ("writes", "carrier"),
    [
        ((Put(K, "1"),), "1"),
        ((Put(K, "1"), Put(OTHER, "2")), "1"),
        ((Put(OUTSIDE, "1"), Put(OTHER, "2")), "2"),
        ((Change(THIRD, doc="2"), Put(K, "1")), "3"),
        ((Change(THIRD, drop_parts=("p",)),), "3"),
        ((Change(THIRD, set_parts={"p": "2"}),), "3"),
        ((Remove(THIRD), Put(K, "1")), "1"),
        ((Exists(THIRD), Put(K, "1")), "1"),
        ((Add(OTHER, {"n": 1}), Put(K, "1")), "1"),
    ],
)
def test_the_first_item_of_a_write_carries_the_stamp(
    store: TenantStore, stamping: TenantStore, items: Items, writes: tuple[Write, ...], carrier: str
) -> None:
    store.write(Put(THIRD, "1", parts={"p": "1"}))
    assert not stamping.stamped
    stamping.write(*writes)
    assert (stamps(items), stamping.stamped) == ({carrier: "stamp"}, True)


@pytest.mark.parametrize("write", [Remove(THIRD), Add(THIRD, {"n": 1}), Put(OUTSIDE, "1")])
def test_what_leaves_no_item_of_the_tenant_carries_none(
    store: TenantStore, stamping: TenantStore, items: Items, write: Write
) -> None:
    store.write(Put(THIRD, "1"))
    stamping.write(write)
    assert (stamps(items), stamping.stamped) == ({}, False)


def test_a_write_that_fails_leaves_no_stamp(stamping: TenantStore, items: Items) -> None:
    with pytest.raises(ConditionFailed):
        stamping.write(Change(K, doc="2"))
    assert (items(), stamping.stamped) == ([], False)


@pytest.mark.parametrize(
    "write",
    [Put(K, "2", when=None), Change(K, doc="2"), Change(K, set_parts={"p": "2"}), Change(K, drop_parts=("p",))],
)
def test_a_write_without_a_stamp_takes_away_the_last_ones(
    store: TenantStore, stamping: TenantStore, items: Items, write: Write
) -> None:
    stamping.write(Put(K, "1", parts={"p": "1"}))
    store.write(write)
    assert stamps(items) == {}


def test_amounts_add_up_exactly(store: TenantStore) -> None:
    for _ in range(10):
        store.write(Add(K, {"calls": 3, "cost": Decimal("0.1")}))
    store.write(Add(K, {"other": -1}))
    item = store.get(K)
    assert item is not None
    assert item.amounts == {"calls": 30, "cost": 1, "other": -1}
    assert (item.doc, item.version, item.parts) == ("{}", 0, {})


def test_amounts_are_added_with_the_rest_or_not_at_all(store: TenantStore) -> None:
    marker: tuple[Write, ...] = (Put(K, "1"), Add(OTHER, {"calls": 1}))
    store.write(*marker)
    for _ in range(3):
        with pytest.raises(ConditionFailed):
            store.write(*marker)
    item = store.get(OTHER)
    assert item is not None
    assert item.amounts == {"calls": 1}


def test_items_with_documents_show_no_amounts(store: TenantStore) -> None:
    store.write(Put(K, "1", expires_at=1))
    item = store.get(K)
    assert item is not None
    assert item.amounts == {}


@pytest.mark.parametrize("newest_first", [False, True])
def test_bounds_of_a_query(store: TenantStore, newest_first: bool) -> None:
    sorts = [f"{n:02d}" for n in range(10)]
    for sort in sorts:
        store.write(Put(Key("THING", sort), "1"))
    bounds = [None, "00", "03", "035", "09", "99"]
    for since in bounds:
        for before in bounds:
            for limit in (1, 3, None):
                wanted = [s for s in sorts if (since is None or s >= since) and (before is None or s < before)]
                found: list[str] = []
                after: str | None = None
                while True:
                    page = store.query(
                        "THING", limit=limit, after=after, newest_first=newest_first, since=since, before=before
                    )
                    found += [item.sort for item in page.items]
                    assert limit is None or len(page.items) <= limit
                    if (after := page.next_after) is None:
                        break
                assert found == (wanted[::-1] if newest_first else wanted), (since, before, limit)


@pytest.mark.parametrize("after", ["00", "99"])
def test_a_cursor_beyond_the_bounds_finds_nothing_of_what_lies_there(store: TenantStore, after: str) -> None:
    for sort in ("01", "05", "09"):
        store.write(Put(Key("THING", sort), "1"))
    for newest_first in (False, True):
        page = store.query("THING", limit=5, after=after, newest_first=newest_first, since="04", before="06")
        assert [item.sort for item in page.items] in ([], ["05"])
