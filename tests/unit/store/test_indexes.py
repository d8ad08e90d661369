"""Lists of the table's indexes, and items that are written each by itself."""

from typing import Any

import pytest

from shared.clients import aws
from shared.errors import TableBusy
from shared.store import keys
from shared.store.keys import Key
from shared.store.listing import chosen, standing_in
from shared.store.table import Change, Put, Remove, TenantStore
from tests.unit.conftest import Requests


def put(store: TenantStore, sort: str, **lists: str | None) -> None:
    store.write(Put(Key("THING", sort), f'"{sort}"', lists=lists))  # type: ignore[arg-type]


def listed(store: TenantStore, *names: str, limit: int = 10, after: str | None = None) -> list[str]:
    return [item.sort for item in standing_in(store, keys.GROUP, names, "THING", limit, after).items]


def test_items_stand_where_their_last_write_put_them(store: TenantStore) -> None:
    put(store, "1", in_group="a")
    put(store, "2", in_group="a", in_label=None)
    put(store, "3")
    assert listed(store, "a") == ["2", "1"]
    store.write(Change(Key("THING", "1"), doc="{}", lists={"in_group": "b"}))
    store.write(Change(Key("THING", "2"), doc="{}"))
    assert (listed(store, "a"), listed(store, "b"), listed(store, "a", "b")) == (["2"], ["1"], ["2", "1"])
    store.write(Change(Key("THING", "2"), doc="{}", lists={"in_group": None}), Remove(Key("THING", "1")))
    assert listed(store, "a", "b") == []


def test_an_index_is_not_the_other(store: TenantStore) -> None:
    put(store, "1", in_group="a", in_label="b")
    found = standing_in(store, keys.LABEL, ["a", "b"], "THING", 10, None)
    assert ([item.sort for item in found.items], listed(store, "b")) == (["1"], [])


def test_tenants_are_apart_in_an_index(store: TenantStore) -> None:
    other = TenantStore("tenant_b")
    put(store, "1", in_group="a")
    put(other, "2", in_group="a")
    assert (listed(store, "a"), listed(other, "a")) == (["1"], ["2"])
    for hostile in ("TENANT#tenant_b#a", "../tenant_b#a", "tenant_b#a"):
        assert listed(store, hostile) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_pages_of_several_lists_cover_them_once(store: TenantStore, size: int) -> None:
    for n in range(7):
        put(store, str(n), in_group="ab"[n % 2])
    found: list[str] = []
    after: str | None = None
    while True:
        page = standing_in(store, keys.GROUP, ["a", "b", "c"], "THING", size, after)
        found += [item.sort for item in page.items]
        after = page.next_after
        if after is None:
            break
        assert len(page.items) == size
    assert found == list("6543210")


def test_what_is_gone_by_now_is_left_out(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index may be behind; the table is not."""
    put(store, "1", in_group="a")
    put(store, "2", in_group="a")
    real = store.get_many
    monkeypatch.setattr(store, "get_many", lambda wanted: {k: v for k, v in real(wanted).items() if k.sort != "2"})
    page = standing_in(store, keys.GROUP, ["a"], "THING", 1, None)
    assert (page.items, page.next_after) == ([], "2")


def test_a_filter_means_one_state_or_all() -> None:
    from typing import Literal

    states = Literal["x", "y"]
    assert (chosen(None, states), chosen("x", states), chosen("z", states)) == (["x", "y"], ["x"], [])


def test_items_written_apart(store: TenantStore, requests: Requests) -> None:
    puts = [Put(Key("THING", str(n)), f'"{n}"', parts={"p": "1"}, lists={"in_group": "a"}) for n in range(3)]
    assert requests.of(lambda: store.write_apart(*puts)) == ["BatchWriteItem"]
    found = store.get_many([put.key for put in puts])
    assert [(item.doc, item.version, item.parts) for item in found.values()] == [(p.doc, 1, {"p": "1"}) for p in puts]
    assert listed(store, "a") == ["2", "1", "0"]


@pytest.mark.parametrize("stamp", [None, "who"])
def test_one_of_them_carries_the_stamp(table: str, items: Any, stamp: str | None) -> None:
    store = TenantStore("tenant_a", by=stamp)
    store.write_apart(Put(Key("THING", "1"), "{}"), Put(Key("THING", "2"), "{}"))
    assert [item["by"]["S"] for item in items() if "by" in item] == ([stamp] if stamp else [])
    assert store.stamped is (stamp is not None)


def leaves(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """DynamoDB leaves all but the first of a batch unwritten, so many times."""
    client = aws.dynamodb()
    real, left = client.batch_write_item, [times]

    def some(**given: Any) -> Any:
        ((name, wanted),) = given["RequestItems"].items()
        if left[0] == 0:
            return real(**given)
        left[0] -= 1
        return real(RequestItems={name: wanted[:1]}) | {"UnprocessedItems": {name: wanted[1:]} if wanted[1:] else {}}

    monkeypatch.setattr(client, "batch_write_item", some)


def test_what_a_batch_left_unwritten_is_written(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves(monkeypatch, 2)
    store.write_apart(*(Put(Key("THING", str(n)), "{}") for n in range(4)))
    assert len(store.query("THING", limit=None).items) == 4


def test_batch_that_stays_unwritten_is_a_busy_table(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves(monkeypatch, 9)
    with pytest.raises(TableBusy):
        store.write_apart(*(Put(Key("THING", str(n)), "{}") for n in range(9)))
