"""The table: one tenant's items, in single requests and transactions.

An item is a JSON document (`doc`) under a key, with its version beside it for conditions. Documents are stored as
JSON text: one attribute instead of a tree, so numbers, nulls and empty lists come back as they were put.
Request units: Amazon DynamoDB Developer Guide, "Read and write request units"; counted in docs/access-patterns.md.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import SystemRandom
from typing import Any, ParamSpec, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from shared import metrics
from shared.clients import aws
from shared.config import settings
from shared.errors import ConditionFailed, TableBusy
from shared.store import writes as requests
from shared.store.ids import new_id
from shared.store.keys import DirectoryKey, Index, Key, of_tenant
from shared.store.writes import Add, Change, Exists, Put, Remove, Upsert, Write
from shared.telemetry import measure

__all__ = [
    "Add",
    "Change",
    "Exists",
    "Item",
    "Page",
    "Put",
    "Remove",
    "TenantStore",
    "Upsert",
    "Write",
    "failed_writes",
    "find_directory_entry",
    "item_of",
]

P = ParamSpec("P")
T = TypeVar("T")

_BUSY = {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
_BATCH_GET_LIMIT = 100
_MAX_BATCH_GET_ROUNDS = 5
_WRITE_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it stands in the table.

    Attributes:
        parts: named JSON texts that can be changed one by one.
        amounts: numbers that `Add` counts up; an item of these has no document, and no entry of an index has one.
    """

    sort: str
    doc: str
    version: int
    parts: Mapping[str, str]
    amounts: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Page:
    """Items in order, and the sort key to go on after (`None` at the end)."""

    items: list[Item]
    next_after: str | None


def item_of(raw: Mapping[str, Any]) -> Item:
    """The item in DynamoDB's JSON."""
    counted = "doc" not in raw
    return Item(
        sort=raw["sk"]["S"],
        doc="{}" if counted else raw["doc"]["S"],
        version=0 if counted else int(raw["version"]["N"]),
        parts={name: value["S"] for name, value in raw.get("parts", {}).get("M", {}).items()},
        amounts={name: Decimal(value["N"]) for name, value in raw.items() if "N" in value} if counted else {},
    )


def failed_writes(error: ClientError) -> tuple[int, ...] | None:
    """Positions of the writes whose condition failed; `None` if the error is something else.

    Raises:
        TableBusy: throttled, or the transaction met another one.
    """
    code = error.response.get("Error", {}).get("Code", "")
    if code == "ConditionalCheckFailedException":
        return (0,)
    if code == "TransactionCanceledException":
        reasons = [str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])]
        failed = tuple(n for n, reason in enumerate(reasons) if reason == "ConditionalCheckFailed")
        if failed:
            return failed
        if {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"} & set(reasons):
            raise _busy(code) from error
    if code in _BUSY or code in {"TransactionConflictException", "TransactionInProgressException"}:
        raise _busy(code) from error
    return None


def _busy(reason: str) -> TableBusy:
    measure({metrics.TABLE_BUSY: 1}, reason=reason)
    return TableBusy(reason)


def _back_off(attempt: int) -> None:
    """Wait a random while, at most twice as long after each attempt; they are counted from 0."""
    time.sleep(SystemRandom().uniform(0, 0.02 * 2**attempt))


def find_directory_entry(key: DirectoryKey) -> Item | None:
    """An entry of the directory; 1 request. The only read that happens before a tenant is known."""
    answer = _asked(
        aws.dynamodb().get_item,
        TableName=settings().table_name,
        Key={"pk": {"S": key.partition}, "sk": {"S": key.sort}},
        ConsistentRead=True,
    )
    return item_of(answer["Item"]) if "Item" in answer else None


def _asked(request: Callable[P, T], *args: P.args, **arguments: P.kwargs) -> T:
    """The answer to a request that carries no condition.

    Raises:
        TableBusy: throttled.
    """
    try:
        return request(*args, **arguments)
    except ClientError as error:
        failed_writes(error)
        raise


def _fits(key: Key | DirectoryKey) -> bool:
    """Whether a key can exist at all: a sort key has 1 to 1,024 bytes (Amazon DynamoDB quotas)."""
    return 0 < len(key.sort.encode("utf-8", "replace")) <= 1_024 and len(key.partition) <= 400


def _send(requests: list[Any]) -> None:
    client: Any = aws.dynamodb()
    if len(requests) > 1:
        client.transact_write_items(TransactItems=requests)
        return
    ((kind, arguments),) = requests[0].items()
    {"Put": client.put_item, "Update": client.update_item, "Delete": client.delete_item}[kind](**arguments)


class TenantStore:
    """All of one tenant's data and nothing else: the partition prefix is fixed here, once.

    Args:
        tenant_id: from the authorizer, never from a request. Empty raises `ValueError`: there is no default tenant.
        first_id: the id that the first `new_id()` returns. An idempotent request that is tried again gets the id of
            its first try, so that its effect cannot happen twice.
        by: the stamp of the request whose writes these are. The first item that each `write` leaves carries it, and
            the reader of the table's stream makes the audit record of it.

    Attributes:
        repeatable: whether the request may come again under the same id.
    """

    def __init__(self, tenant_id: str, first_id: str | None = None, by: str | None = None) -> None:
        if not tenant_id or "#" in tenant_id:
            raise ValueError("a tenant id is required")
        self.tenant_id = tenant_id
        self._prefix = of_tenant(tenant_id)
        self._first_id = first_id
        self.repeatable = first_id is not None
        self._by = by
        self._stamps: list[str] = []

    @property
    def stamped(self) -> bool:
        """Whether a write with the stamp is in the table."""
        return bool(self._stamps)

    def into(self, tenant_id: str) -> "TenantStore":
        """The same request's store in the tenant that its sender turned out to belong to."""
        inside = TenantStore(tenant_id, self._first_id, self._by)
        inside._stamps = self._stamps
        return inside

    def new_id(self) -> str:
        """An id for a new thing."""
        reserved, self._first_id = self._first_id, None
        return reserved or new_id()

    def get(self, key: Key) -> Item | None:
        """One item, strongly consistent; 1 request."""
        if not _fits(key):
            return None
        answer = _asked(
            aws.dynamodb().get_item, TableName=settings().table_name, Key=self._key(key), ConsistentRead=True
        )
        return item_of(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key | DirectoryKey]) -> dict[Key | DirectoryKey, Item]:
        """Those of the items that exist; 1 request per 100."""
        found: dict[Key | DirectoryKey, Item] = {}
        asked = [key for key in dict.fromkeys(keys) if _fits(key)]
        for start in range(0, len(asked), _BATCH_GET_LIMIT):
            wanted: list[Any] = [self._key(key) for key in asked[start : start + _BATCH_GET_LIMIT]]
            for _ in range(_MAX_BATCH_GET_ROUNDS):
                answer = _asked(
                    aws.dynamodb().batch_get_item,
                    RequestItems={settings().table_name: {"Keys": wanted, "ConsistentRead": True}},
                )
                for raw in answer["Responses"].get(settings().table_name, []):
                    partition, item = raw["pk"]["S"], item_of(raw)
                    within = partition.startswith(self._prefix)
                    key = Key if within else DirectoryKey
                    found[key(partition.removeprefix(self._prefix), item.sort)] = item
                unread = answer["UnprocessedKeys"].get(settings().table_name)
                if unread is None:
                    break
                wanted = list(unread["Keys"])
            else:
                raise _busy("batch get left keys unread")
        return found

    def query(
        self,
        partition: str,
        *,
        limit: int | None,
        after: str | None = None,
        newest_first: bool = False,
        since: str | None = None,
        before: str | None = None,
        index: Index | None = None,
    ) -> Page:
        """Items of one partition in the order of their sort keys; 1 request per megabyte.

        Args:
            limit: at most so many items; `None` reads the whole partition.
            after: go on behind this sort key.
            newest_first: descending.
            since, before: only items from the one sort key on, and below the other.
            index: the partition is a list in this index, whose entries hold keys alone. An index follows the table
                with a delay, mostly of some milliseconds.
        """
        if not _fits(Key(partition, after or "-")):
            return Page([], None)
        low = max((end for end in (since, None if newest_first else after) if end is not None), default=None)
        high = min((end for end in (before, after if newest_first else None) if end is not None), default=None)
        if low is not None and high is not None and low >= high:
            return Page([], None)
        values: dict[str, Any] = {":pk": {"S": self._prefix + partition}}
        values |= {name: {"S": end} for name, end in ((":low", low), (":high", high)) if end is not None}
        in_partition = f"{index or 'pk'} = :pk"
        condition, surplus = in_partition, 0
        if low is not None and high is not None:
            # BETWEEN takes in both its ends: those that are not wanted are read, and left out.
            condition, surplus = f"{in_partition} AND sk BETWEEN :low AND :high", 2
        elif low is not None:
            condition = f"{in_partition} AND sk {'>' if low == after else '>='} :low"
        elif high is not None:
            condition = f"{in_partition} AND sk < :high"
        # An index has no other reads than those that may be behind.
        options: dict[str, Any] = {"ConsistentRead": True} if index is None else {"IndexName": index}
        items: list[Item] = []
        while True:
            if limit is not None:
                # One more than asked for tells whether there is a next page, without a second request.
                options["Limit"] = limit + 1 + surplus - len(items)
            answer = _asked(
                aws.dynamodb().query,
                TableName=settings().table_name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ScanIndexForward=not newest_first,
                **options,
            )
            items += [item_of(raw) for raw in answer["Items"] if raw["sk"]["S"] not in {after, before}]
            if "LastEvaluatedKey" not in answer or (limit is not None and len(items) > limit):
                break
            options["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        if limit is not None and len(items) > limit:
            return Page(items[:limit], items[limit - 1].sort)
        return Page(items, None)

    def write(self, *writes: Write) -> None:
        """All of the writes or none: 1 request, a transaction if there are several.

        Raises:
            ConditionFailed: names the writes whose condition did not hold; nothing was written.
            TableBusy: throttled or met another transaction; nothing was written.
        """
        carrier = None if self._by is None else requests.stamped(writes)
        parts = [
            requests.request(write, self._key, self._by if position == carrier else None)
            for position, write in enumerate(writes)
        ]
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                _send(parts)
                self._stamps += [self._by] if self._by and carrier is not None else []
                return
            except ClientError as error:
                try:
                    failed = failed_writes(error)
                except TableBusy:
                    if attempt + 1 == _WRITE_ATTEMPTS:
                        raise
                    _back_off(attempt)
                    continue
                if failed is None:
                    raise
                raise ConditionFailed(failed) from error

    def write_apart(self, *writes: Put) -> None:
        """New items of which nobody else can know yet, each by itself: 1 request, for half of what a transaction costs.

        What stands in their places is not asked. If this raises, a part of them may have been written; and one that
        DynamoDB was asked for twice, since its first answer was late, may be written again after this returned.

        Raises:
            TableBusy: throttled.
        """
        table = settings().table_name
        # The smallest, since an item is paid by the KB.
        carrier = None if self._by is None else min(range(len(writes)), key=lambda place: len(writes[place].doc))
        wanted: list[Any] = [
            {"PutRequest": {"Item": requests.item(write, self._key, self._by if position == carrier else None)}}
            for position, write in enumerate(writes)
        ]
        for attempt in range(_WRITE_ATTEMPTS):
            answer = _asked(aws.dynamodb().batch_write_item, RequestItems={table: wanted})
            wanted = list(answer["UnprocessedItems"].get(table, ()))
            if not wanted:
                self._stamps += [self._by] if self._by else []
                return
            if attempt + 1 < _WRITE_ATTEMPTS:
                _back_off(attempt)
        raise _busy("batch write left items unwritten")

    def count(self, key: Key, update: tuple[Mapping[str, str], Mapping[str, int]]) -> tuple[bool, dict[str, int]]:
        """One conditional UpdateItem on an item that holds nothing but whole numbers; 1 request.

        Args:
            update: the update's expressions, and their values.

        Returns:
            Whether the condition held, and the item's numbers: afterwards, or as they stand.

        Raises:
            TableBusy: throttled; nothing was written.
        """
        expressions, values = update
        arguments: Any = {
            "TableName": settings().table_name,
            "Key": self._key(key),
            "ExpressionAttributeValues": {name: {"N": str(value)} for name, value in values.items()},
            "ReturnValues": "ALL_NEW",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **expressions,
        }
        try:
            answer = aws.dynamodb().update_item(**arguments)
        except ClientError as error:
            if failed_writes(error) is None:
                raise
            standing: Any = error.response.get("Item", {})
            return False, _whole_numbers(standing)
        return True, _whole_numbers(answer["Attributes"])

    def note(self, write: Change) -> None:
        """Write something that nobody waits for: if it cannot be written now, it is not; 1 request."""
        try:
            _send([requests.request(write, self._key)])
        except (ClientError, BotoCoreError):
            return

    def _key(self, key: Key | DirectoryKey) -> dict[str, Any]:
        prefix = "" if isinstance(key, DirectoryKey) else self._prefix
        return {"pk": {"S": prefix + key.partition}, "sk": {"S": key.sort}}


def _whole_numbers(raw: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(value["N"]) for name, value in raw.items() if "N" in value}
