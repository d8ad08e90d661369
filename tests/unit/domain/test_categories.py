"""Categories of tools, counted from the table's stream: as many as there are tools, however often a change is told."""

from typing import Any

import pytest

from shared.domain import categories
from shared.store import keys
from shared.store.table import Add, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import petstore, runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import WorkerDied
from tests.unit.support.table_stream import TableStream

pytestmark = pytest.mark.covers("GET /tools/categories")


def counts(api: Api) -> dict[str, int]:
    answer = api.get("/tools/categories")
    assert answer.status == 200, answer.text
    assert [one["name"] for one in answer.json] == sorted(one["name"] for one in answer.json)
    return {one["name"]: one["count"] for one in answer.json}


def some_changes(api: Api) -> dict[str, int]:
    """Tools that come, stay, move and go; what there is to count at the end."""
    for name, category in (("a", "shop"), ("b", "shop"), ("c", None), ("d", "news"), ("e", "news")):
        runs.webhook(api, name, category=category)
    for name, patch in (
        ("a", {"description": "stays"}),
        ("b", {"category": "zoo"}),
        ("c", {"category": "shop"}),
        ("d", {"category": None}),
        ("d", {"category": "news"}),
    ):
        assert api.patch(f"/tools/{name}", patch).status == 200
    assert api.delete("/tools/e").status == 204
    return {"news": 1, "shop": 2, "zoo": 1}


def test_as_many_as_there_are_tools(api: Api, other: Api, stream: TableStream) -> None:
    expected = some_changes(api)
    assert counts(api) == {}
    assert stream.deliver() == {"batchItemFailures": []}
    assert counts(api) == expected
    assert counts(other) == {}
    assert api.as_(scopes="agents:read").get("/tools/categories").status == 403


def test_a_category_that_nothing_is_in_any_more_is_not_shown(api: Api, stream: TableStream) -> None:
    runs.webhook(api, "a", category="shop")
    assert api.delete("/tools/a").status == 204
    runs.webhook(api, "a", category="TENANT")
    stream.deliver()
    assert counts(api) == {"TENANT": 1}


def test_imported_tools_are_counted(api: Api, stream: TableStream) -> None:
    answer = api.post("/tools/import", {"document": petstore.document(), "category": "shop"})
    assert answer.status == 201, answer.text
    stream.deliver()
    assert counts(api) == {"shop": len(api.get("/tools").json)}


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_again_or_out_of_order_counts_once(api: Api, stream: TableStream, seed: int) -> None:
    expected = some_changes(api)
    stream.deliver_astray(seed)
    stream.deliver(times=2)
    assert counts(api) == expected


@pytest.mark.parametrize("number", range(0, 20, 3))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reader_that_dies_counts_once(
    api: Api, stream: TableStream, faults: Faults, number: int, moment: Any
) -> None:
    expected = some_changes(api)
    faults.at(number, moment, die)
    with pytest.raises(WorkerDied):
        stream.deliver()
    stream.deliver()
    assert counts(api) == expected


def test_a_change_that_stays_in_its_category_takes_no_write(api: Api, stream: TableStream, faults: Faults) -> None:
    runs.webhook(api, "a", category="shop")
    runs.webhook(api, "b")
    assert api.patch("/tools/a", {"description": "other"}).status == 200
    before = faults.writes
    stream.deliver()
    audited, counted = 3, 1
    assert faults.writes - before == audited + counted


def test_one_request_and_no_tools(api: Api, store: TenantStore, requests: Requests) -> None:
    for number in range(categories.MAX_NAMED + 1):
        store.write(Add(keys.category(f"{number:04d}"), {"tools": 1}))
    assert requests.of(lambda: len(counts(api)) == categories.MAX_NAMED) == ["Query"]
