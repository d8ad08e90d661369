"""The table: one tenant's items, in single requests and transactions.

An item is a JSON document (`doc`) under a key, with its version beside it for conditions. Documents are stored as
JSON text: one attribute instead of a tree, so numbers, nulls and empty lists come back as they were put.
Request units: Amazon DynamoDB Developer Guide, "Read and write request units"; counted in docs/access-patterns.md.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from shared.clients import aws
from shared.config import settings
from shared.errors import ConditionFailed, TableBusy
from shared.store.ids import new_id
from shared.store.keys import DirectoryKey, Key, directory_entry

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

_BUSY = {"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"}
_BATCH_GET_LIMIT = 100
_MAX_BATCH_GET_ROUNDS = 5
_WRITE_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it stands in the table. `parts` are named JSON texts that can be changed one by one."""

    sort: str
    doc: str
    version: int
    parts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item.

    Attributes:
        when: `absent` = only if nothing stands there; an int = only over that version; None = in any case.
        parts: named JSON texts beside the document (the bindings of an agent).
        expires_at: epoch seconds for the table's time to live.
    """

    key: Key | DirectoryKey
    doc: str
    when: Literal["absent"] | int | None = "absent"
    version: int = 1
    parts: Mapping[str, str] | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Change parts of an item that exists, without reading it.

    Attributes:
        set_parts: parts to write; drop_parts: parts to remove.
        needs_parts: parts that must be there; max_parts: there must be fewer parts than that.
        doc: a new document, which raises the version by one; when: the version that the item must have.
    """

    key: Key
    set_parts: Mapping[str, str] = field(default_factory=dict)
    drop_parts: tuple[str, ...] = ()
    needs_parts: tuple[str, ...] = ()
    max_parts: int | None = None
    doc: str | None = None
    when: int | None = None


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove an item that exists (`when`: in that version; `parts`: and with exactly these parts)."""

    key: Key | DirectoryKey
    when: int | None = None
    parts: Mapping[str, str] | None = None
    must_exist: bool = True


@dataclass(frozen=True, slots=True)
class Exists:
    """Write nothing, but only if that item exists."""

    key: Key


Write = Put | Change | Remove | Exists


@dataclass(frozen=True, slots=True)
class Page:
    """Items in order, and the sort key to go on after (`None` at the end)."""

    items: list[Item]
    next_after: str | None


def _item(raw: Mapping[str, Any]) -> Item:
    return Item(
        sort=raw["sk"]["S"],
        doc=raw["doc"]["S"],
        version=int(raw["version"]["N"]),
        parts={name: value["S"] for name, value in raw.get("parts", {}).get("M", {}).items()},
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
            raise TableBusy(code) from error
    if code in _BUSY or code in {"TransactionConflictException", "TransactionInProgressException"}:
        raise TableBusy(code) from error
    return None


def find_directory_entry(key_id: str) -> Item | None:
    """The directory's entry of a platform key; 1 request. The only read that happens before a tenant is known."""
    partition, sort = directory_entry(key_id)
    answer = aws.dynamodb().get_item(
        TableName=settings().table_name, Key={"pk": {"S": partition}, "sk": {"S": sort}}, ConsistentRead=True
    )
    return _item(answer["Item"]) if "Item" in answer else None


def _fits(key: Key) -> bool:
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
    """

    def __init__(self, tenant_id: str, first_id: str | None = None) -> None:
        if not tenant_id or "#" in tenant_id:
            raise ValueError("a tenant id is required")
        self.tenant_id = tenant_id
        self._prefix = f"TENANT#{tenant_id}#"
        self._first_id = first_id

    def new_id(self) -> str:
        """An id for a new thing."""
        reserved, self._first_id = self._first_id, None
        return reserved or new_id()

    def get(self, key: Key) -> Item | None:
        """One item, strongly consistent; 1 request."""
        if not _fits(key):
            return None
        answer = aws.dynamodb().get_item(TableName=settings().table_name, Key=self._key(key), ConsistentRead=True)
        return _item(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Those of the items that exist; 1 request per 100."""
        found: dict[Key, Item] = {}
        asked = [key for key in dict.fromkeys(keys) if _fits(key)]
        for start in range(0, len(asked), _BATCH_GET_LIMIT):
            wanted: list[Any] = [self._key(key) for key in asked[start : start + _BATCH_GET_LIMIT]]
            for _ in range(_MAX_BATCH_GET_ROUNDS):
                answer = aws.dynamodb().batch_get_item(
                    RequestItems={settings().table_name: {"Keys": wanted, "ConsistentRead": True}}
                )
                for raw in answer["Responses"].get(settings().table_name, []):
                    item = _item(raw)
                    found[Key(raw["pk"]["S"].removeprefix(self._prefix), item.sort)] = item
                unread = answer["UnprocessedKeys"].get(settings().table_name)
                if unread is None:
                    break
                wanted = list(unread["Keys"])
            else:
                raise TableBusy("batch get left keys unread")
        return found

    def query(
        self,
        partition: str,
        *,
        limit: int | None,
        after: str | None = None,
        newest_first: bool = False,
    ) -> Page:
        """Items of one partition in the order of their sort keys; 1 request per megabyte.

        Args:
            limit: at most so many items; `None` reads the whole partition.
            after: go on behind this sort key.
            newest_first: descending.
        """
        if not _fits(Key(partition, after or "-")):
            return Page([], None)
        values: dict[str, Any] = {":pk": {"S": self._prefix + partition}}
        condition = "pk = :pk"
        if after is not None:
            condition += " AND sk < :after" if newest_first else " AND sk > :after"
            values[":after"] = {"S": after}
        options: dict[str, Any] = {}
        items: list[Item] = []
        while True:
            if limit is not None:
                # One more than asked for tells whether there is a next page, without a second request.
                options["Limit"] = limit + 1 - len(items)
            answer = aws.dynamodb().query(
                TableName=settings().table_name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ScanIndexForward=not newest_first,
                ConsistentRead=True,
                **options,
            )
            items += [_item(raw) for raw in answer["Items"]]
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
        requests = [self._request(write) for write in writes]
        for attempt in range(_WRITE_ATTEMPTS):
            try:
                _send(requests)
                return
            except ClientError as error:
                try:
                    failed = failed_writes(error)
                except TableBusy:
                    if attempt + 1 == _WRITE_ATTEMPTS:
                        raise
                    time.sleep(random.uniform(0, 0.02 * 2**attempt))
                    continue
                if failed is None:
                    raise
                raise ConditionFailed(failed) from error

    def _key(self, key: Key | DirectoryKey) -> dict[str, Any]:
        prefix = "" if isinstance(key, DirectoryKey) else self._prefix
        return {"pk": {"S": prefix + key.partition}, "sk": {"S": key.sort}}

    def _request(self, write: Write) -> "TransactWriteItemTypeDef":
        match write:
            case Put():
                return {"Put": self._put(write)}
            case Change():
                return {"Update": self._change(write)}
            case Remove():
                arguments: dict[str, Any] = {"TableName": settings().table_name, "Key": self._key(write.key)}
                _require(arguments, write.when, "attribute_exists(pk)" if write.must_exist else "", write.parts)
                return {"Delete": arguments}  # type: ignore[typeddict-item]
            case Exists():
                return {
                    "ConditionCheck": {
                        "TableName": settings().table_name,
                        "Key": self._key(write.key),
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                }

    def _put(self, write: Put) -> Any:
        item = self._key(write.key)
        item |= {"doc": {"S": write.doc}, "version": {"N": str(write.version)}}
        if write.parts is not None:
            item["parts"] = _parts(write.parts)
        if write.expires_at is not None:
            item["expires_at"] = {"N": str(write.expires_at)}
        arguments: dict[str, Any] = {"TableName": settings().table_name, "Item": item}
        if write.when == "absent":
            arguments["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            _require(arguments, write.when, "")
        return arguments

    def _change(self, write: Change) -> Any:
        arguments: dict[str, Any] = {"TableName": settings().table_name, "Key": self._key(write.key)}
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        sets: list[str] = []
        conditions = ["attribute_exists(pk)"]
        for n, (part, text) in enumerate(write.set_parts.items()):
            names |= {"#parts": "parts", f"#s{n}": part}
            values[f":s{n}"] = {"S": text}
            sets.append(f"#parts.#s{n} = :s{n}")
        for n, part in enumerate(write.drop_parts):
            names |= {"#parts": "parts", f"#d{n}": part}
        for n, part in enumerate(write.needs_parts):
            names |= {"#parts": "parts", f"#n{n}": part}
            conditions.append(f"attribute_exists(#parts.#n{n})")
        if write.max_parts is not None:
            names |= {"#parts": "parts"}
            values[":max_parts"] = {"N": str(write.max_parts)}
            conditions.append("size(#parts) < :max_parts")
        if write.doc is not None:
            names |= {"#version": "version"}
            values |= {":doc": {"S": write.doc}, ":one": {"N": "1"}}
            sets += ["doc = :doc", "#version = #version + :one"]
        if write.when is not None:
            names |= {"#version": "version"}
            values[":expected"] = {"N": str(write.when)}
            conditions.append("#version = :expected")
        expression = f"SET {', '.join(sets)}" if sets else ""
        if write.drop_parts:
            expression += " REMOVE " + ", ".join(f"#parts.#d{n}" for n in range(len(write.drop_parts)))
        arguments |= {"UpdateExpression": expression.strip(), "ConditionExpression": " AND ".join(conditions)}
        if names:
            arguments["ExpressionAttributeNames"] = names
        if values:
            arguments["ExpressionAttributeValues"] = values
        return arguments


def _require(
    arguments: dict[str, Any], version: int | None, otherwise: str, parts: Mapping[str, str] | None = None
) -> None:
    """Add the condition `version = :expected` (and on the parts, too), or `otherwise`."""
    if version is None:
        if otherwise:
            arguments["ConditionExpression"] = otherwise
        return
    arguments["ConditionExpression"] = "#version = :expected"
    arguments["ExpressionAttributeNames"] = {"#version": "version"}
    arguments["ExpressionAttributeValues"] = {":expected": {"N": str(version)}}
    if parts is not None:
        arguments["ConditionExpression"] += " AND #parts = :parts"
        arguments["ExpressionAttributeNames"]["#parts"] = "parts"
        arguments["ExpressionAttributeValues"][":parts"] = _parts(parts)


def _parts(parts: Mapping[str, str]) -> dict[str, Any]:
    return {"M": {name: {"S": text} for name, text in parts.items()}}
