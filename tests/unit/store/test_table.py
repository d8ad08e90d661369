"""The store: one tenant's items, all or nothing, on conditions."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.clients import aws
from shared.errors import ConditionFailed, TableBusy
from shared.store.keys import DirectoryKey, Key
from shared.store.table import Change, Exists, Put, Remove, TenantStore, Write, find_directory_entry
from tests.unit.conftest import Requests

K = Key("THING", "1")
OTHER = Key("THING", "2")


def put(store: TenantStore, key: Key = K, doc: str = "1", **fields: Any) -> None:
    store.write(Put(key, doc, **({"when": None} | fields)))


def doc(store: TenantStore, key: Key = K) -> str | None:
    item = store.get(key)
    return item.doc if item else None


def test_item_comes_back_as_it_was(store: TenantStore) -> None:
    text = '{"a": [1, 1.5, null, true, "", {}, "ü\\u0000"]}'
    put(store, doc=text, parts={"p": "x", "q": ""}, version=7)
    item = store.get(K)
    assert item is not None
    assert (item.sort, item.doc, item.version, dict(item.parts)) == ("1", text, 7, {"p": "x", "q": ""})


def test_absent_item(store: TenantStore) -> None:
    assert store.get(K) is None


@pytest.mark.parametrize(
    "key", [Key("THING", ""), Key("THING", "x" * 1_025), Key("THING", "ü" * 513), Key("X" * 401, "1")]
)
def test_keys_that_cannot_exist_cost_nothing(store: TenantStore, requests: Requests, key: Key) -> None:
    assert store.get(key) is None
    assert store.query(key.partition, limit=1, after=key.sort or None).items == []
    assert [name for name in requests if name != "Query"] == []


def test_tenants_are_apart(store: TenantStore) -> None:
    other = TenantStore("tenant_b")
    put(store)
    assert (other.get(K), other.get_many([K]), other.query("THING", limit=None).items) == (None, {}, [])
    with pytest.raises(ConditionFailed):
        other.write(Change(K, doc="2"))
    with pytest.raises(ConditionFailed):
        other.write(Remove(K))
    other.write(Put(K, "theirs"))
    assert (doc(store), doc(other)) == ("1", "theirs")


def test_tenant_whose_name_begins_like_another(store: TenantStore) -> None:
    put(TenantStore("tenant_a_2"))
    put(TenantStore("tenant_"))
    assert store.query("THING", limit=None).items == []


def test_get_many(store: TenantStore, requests: Requests) -> None:
    wanted = [Key("THING", f"{n:03d}") for n in range(250)]
    for key in wanted[::2]:
        put(store, key, key.sort)
    requests.clear()
    found = store.get_many([*wanted, *wanted])
    assert {key.sort: item.doc for key, item in found.items()} == {key.sort: key.sort for key in wanted[::2]}
    assert set(requests) == {"BatchGetItem"}
    assert store.get_many([]) == {}


def unread(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """DynamoDB gives back part of a batch unread, so many times."""
    client = aws.dynamodb()
    real, left = client.batch_get_item, [times]

    def some(**given: Any) -> Any:
        (name,) = given["RequestItems"]
        wanted = given["RequestItems"][name]["Keys"]
        if left[0] == 0:
            return real(**given)
        left[0] -= 1
        answer = real(RequestItems={name: {"Keys": wanted[:1], "ConsistentRead": True}})
        rest = {name: {"Keys": wanted[1:]}} if wanted[1:] else {}
        return {"Responses": answer["Responses"], "UnprocessedKeys": rest}

    monkeypatch.setattr(client, "batch_get_item", some)


def test_what_a_batch_left_unread_is_read(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Key("THING", str(n)) for n in range(4)]
    for key in wanted:
        put(store, key)
    unread(monkeypatch, 2)
    assert len(store.get_many(wanted)) == 4


def test_batch_that_stays_unread_is_no_empty_answer(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    unread(monkeypatch, 99)
    with pytest.raises(TableBusy):
        store.get_many([Key("THING", str(n)) for n in range(20)])


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
@pytest.mark.parametrize(
    ("operation", "read"),
    [
        ("get_item", lambda store: store.get(K)),
        ("batch_get_item", lambda store: store.get_many([K])),
        ("query", lambda store: store.query("THING", limit=1)),
        ("get_item", lambda store: find_directory_entry(DirectoryKey("KEY#x", "KEY"))),
    ],
)
def test_throttled_read_is_a_busy_table(
    store: TenantStore,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    operation: str,
    read: Callable[[TenantStore], Any],
) -> None:
    def throttled(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, operation)

    monkeypatch.setattr(aws.dynamodb(), operation, throttled)
    with pytest.raises(TableBusy):
        read(store)


@pytest.fixture
def seven(store: TenantStore) -> TenantStore:
    for n in range(7):
        put(store, Key("THING", str(n)), str(n))
    put(store, Key("THING2", "x"))
    return store


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("size", [1, 2, 6, 7, 8])
def test_pages_cover_a_partition_once(seven: TenantStore, size: int, newest_first: bool) -> None:
    found, after = [], None
    while True:
        page = seven.query("THING", limit=size, after=after, newest_first=newest_first)
        assert len(page.items) <= size
        found += [item.doc for item in page.items]
        after = page.next_after
        if after is None:
            break
        assert len(page.items) == size
    assert found == sorted("0123456", reverse=newest_first)


def test_whole_partition(seven: TenantStore) -> None:
    page = seven.query("THING", limit=None)
    assert (len(page.items), page.next_after) == (7, None)


def test_query_goes_on_where_a_megabyte_ends(store: TenantStore, requests: Requests) -> None:
    for n in range(7):
        put(store, Key("THING", str(n)), "x" * 300_000)
    requests.clear()
    assert [item.sort for item in store.query("THING", limit=None).items] == list("0123456")
    assert len(requests) >= 2
    assert [item.sort for item in store.query("THING", limit=5).items] == list("01234")
    assert store.query("THING", limit=7, newest_first=True).next_after is None


def test_put_on_conditions(store: TenantStore) -> None:
    store.write(Put(K, "1"))
    with pytest.raises(ConditionFailed):
        store.write(Put(K, "2"))
    with pytest.raises(ConditionFailed):
        store.write(Put(K, "2", when=2))
    assert doc(store) == "1"
    store.write(Put(K, "2", when=1, version=2))
    store.write(Put(K, "3", when=None))
    assert doc(store) == "3"
    with pytest.raises(ConditionFailed):
        store.write(Put(OTHER, "1", when=1))


def test_put_with_an_end(store: TenantStore, items: Callable[[], list[dict[str, Any]]]) -> None:
    put(store, expires_at=123)
    assert items()[0]["expires_at"] == {"N": "123"}


def test_change_of_the_document_raises_the_version(store: TenantStore) -> None:
    put(store, parts={"p": "x"})
    store.write(Change(K, doc="2"))
    store.write(Change(K, doc="3", when=2))
    with pytest.raises(ConditionFailed):
        store.write(Change(K, doc="4", when=2))
    item = store.get(K)
    assert item is not None
    assert (item.doc, item.version, dict(item.parts)) == ("3", 3, {"p": "x"})


def test_change_of_parts_keeps_the_rest(store: TenantStore) -> None:
    put(store, parts={"p": "x", "q": "y"})
    store.write(Change(K, set_parts={"p": "z", "r-1.#": "new"}, drop_parts=("q",)))
    item = store.get(K)
    assert item is not None
    assert (item.doc, item.version, dict(item.parts)) == ("1", 1, {"p": "z", "r-1.#": "new"})


def test_change_on_conditions(store: TenantStore) -> None:
    put(store, parts={"p": "x"})
    for change in (
        Change(OTHER, doc="2"),
        Change(OTHER, set_parts={"p": "y"}),
        Change(K, set_parts={"p": "y"}, needs_parts=("q",)),
        Change(K, drop_parts=("q",), needs_parts=("q",)),
        Change(K, set_parts={"q": "y"}, max_parts=1),
        Change(K, set_parts={"q": "y"}, when=2),
    ):
        with pytest.raises(ConditionFailed):
            store.write(change)
    store.write(Change(K, set_parts={"q": "y"}, max_parts=2, needs_parts=("p",), when=1))
    item = store.get(K)
    assert item is not None
    assert dict(item.parts) == {"p": "x", "q": "y"}
    assert store.get(OTHER) is None


def test_remove_on_conditions(store: TenantStore) -> None:
    put(store, parts={"p": "x"})
    for remove in (
        Remove(OTHER),
        Remove(K, when=2),
        Remove(K, when=1, parts={}),
        Remove(K, when=1, parts={"p": "y"}),
        Remove(K, when=1, parts={"p": "x", "q": ""}),
    ):
        with pytest.raises(ConditionFailed):
            store.write(remove)
    store.write(Remove(K, when=1, parts={"p": "x"}))
    store.write(Remove(K, must_exist=False))
    assert store.get(K) is None


@pytest.mark.parametrize(
    ("bad", "position"),
    [(Put(K, "x"), 1), (Change(OTHER, doc="x"), 1), (Remove(OTHER), 1), (Exists(OTHER), 1), (Put(K, "x", when=9), 1)],
)
def test_all_or_nothing(store: TenantStore, bad: Write, position: int) -> None:
    put(store)
    third, fourth = Key("THING", "3"), Key("THING", "4")
    with pytest.raises(ConditionFailed) as failed:
        store.write(Put(third, "x"), bad, Put(fourth, "x"))
    assert failed.value.failed == (position,)
    assert (doc(store), store.get(third), store.get(fourth)) == ("1", None, None)


def test_every_condition_that_failed_is_named(store: TenantStore) -> None:
    put(store)
    with pytest.raises(ConditionFailed) as failed:
        store.write(Put(K, "x"), Put(OTHER, "x"), Exists(Key("THING", "9")))
    assert failed.value.failed == (0, 2)


def test_check_writes_nothing(store: TenantStore) -> None:
    put(store)
    store.write(Exists(K), Put(OTHER, "2"))
    item = store.get(K)
    assert item is not None
    assert (item.doc, item.version, doc(store, OTHER)) == ("1", 1, "2")


def test_directory_lies_outside_all_tenants(store: TenantStore) -> None:
    store.write(Put(DirectoryKey("KEY#x", "KEY"), '"x"'))
    found = find_directory_entry(DirectoryKey("KEY#x", "KEY"))
    assert found is not None
    assert found.doc == '"x"'
    assert find_directory_entry(DirectoryKey("KEY#y", "KEY")) is None
    assert store.get(Key("KEY#x", "KEY")) is None


def refuse(monkeypatch: pytest.MonkeyPatch, *errors: dict[str, Any]) -> list[str]:
    """DynamoDB refuses the next writes with these errors. Returns the names of the requests that came."""
    came: list[str] = []
    waiting = list(errors)

    def send(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            came.append(name)
            if waiting:
                raise ClientError(waiting.pop(0), name)  # type: ignore[arg-type]
            return real(**given)

        return call

    client = aws.dynamodb()
    for name in ("put_item", "transact_write_items"):
        monkeypatch.setattr(client, name, send(name, getattr(client, name)))
    return came


def cancelled(*reasons: str) -> dict[str, Any]:
    return {
        "Error": {"Code": "TransactionCanceledException", "Message": "x"},
        "CancellationReasons": [{"Code": reason} for reason in reasons],
    }


def said(code: str) -> dict[str, Any]:
    return {"Error": {"Code": code, "Message": "x"}}


BUSY = [
    said("ProvisionedThroughputExceededException"),
    said("ThrottlingException"),
    said("RequestLimitExceeded"),
    said("TransactionConflictException"),
    said("TransactionInProgressException"),
    cancelled("None", "TransactionConflict"),
    cancelled("ThrottlingError", "None"),
    cancelled("ProvisionedThroughputExceeded"),
]


@pytest.mark.parametrize("error", BUSY)
@pytest.mark.parametrize("writes", [[Put(K, "1")], [Put(K, "1"), Put(OTHER, "1")]])
def test_busy_table_is_asked_again(
    store: TenantStore, monkeypatch: pytest.MonkeyPatch, error: dict[str, Any], writes: list[Write]
) -> None:
    came = refuse(monkeypatch, error, error, error)
    store.write(*writes)
    assert (len(came), doc(store)) == (4, "1")


@pytest.mark.parametrize("error", BUSY)
def test_table_that_stays_busy(store: TenantStore, monkeypatch: pytest.MonkeyPatch, error: dict[str, Any]) -> None:
    came = refuse(monkeypatch, *[error] * 4)
    with pytest.raises(TableBusy):
        store.write(Put(K, "1"))
    assert (len(came), store.get(K)) == (4, None)


def test_failed_condition_counts_more_than_a_conflict(store: TenantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    came = refuse(monkeypatch, cancelled("TransactionConflict", "ConditionalCheckFailed"))
    with pytest.raises(ConditionFailed) as failed:
        store.write(Put(K, "1"), Put(OTHER, "1"))
    assert (failed.value.failed, len(came)) == ((1,), 1)


@pytest.mark.parametrize(
    "error", [said("AccessDeniedException"), said("ValidationException"), cancelled("ValidationError")]
)
def test_other_errors_are_not_ours_to_judge(
    store: TenantStore, monkeypatch: pytest.MonkeyPatch, error: dict[str, Any]
) -> None:
    came = refuse(monkeypatch, error)
    with pytest.raises(ClientError):
        store.write(Put(K, "1"))
    assert len(came) == 1
