"""What can be written to the table, and how DynamoDB is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from shared.config import settings
from shared.store.keys import DirectoryKey, Index, Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

Address = Callable[[Key | DirectoryKey], dict[str, Any]]
"""Makes a key the attributes that name an item."""

Lists = Mapping[Index, str | None]


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole item.

    Attributes:
        when: `absent` = only if nothing stands there; an int = only over that version; None = in any case.
        parts: named JSON texts beside the document (the bindings of an agent).
        expires_at: epoch seconds for the table's time to live.
        lists: by index, the list in it that the item stands in; None: in none.
    """

    key: Key | DirectoryKey
    doc: str
    when: Literal["absent"] | int | None = "absent"
    version: int = 1
    parts: Mapping[str, str] | None = None
    expires_at: int | None = None
    lists: Lists = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """Change parts of an item that exists, without reading it.

    Attributes:
        set_parts: parts to write; drop_parts: parts to remove.
        needs_parts: parts that must be there; max_parts: there must be fewer parts than that.
        parts: the item must have had exactly these.
        before: parts that must be absent, or sort before the text given.
        doc: a new document, which raises the version by one; when: the version that the item must have.
        lists: as of `Put`; in an index that is not named the item stays where it stands.
    """

    key: Key | DirectoryKey
    set_parts: Mapping[str, str] = field(default_factory=dict)
    drop_parts: tuple[str, ...] = ()
    needs_parts: tuple[str, ...] = ()
    max_parts: int | None = None
    parts: Mapping[str, str] | None = None
    before: Mapping[str, str] = field(default_factory=dict)
    doc: str | None = None
    when: int | None = None
    lists: Lists = field(default_factory=dict)


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


@dataclass(frozen=True, slots=True)
class Upsert:
    """Write a whole item, whatever stands there, by an UpdateItem: the one write that every function may do."""

    key: Key
    doc: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Add:
    """Add to the numbers of an item, which begins with them if it does not exist.

    Repeated, it adds again: what must count once goes into one transaction with a `Put` that can happen once only.
    """

    key: Key
    amounts: Mapping[str, int | Decimal]


Write = Put | Change | Remove | Exists | Upsert | Add


def stamped(writes: Sequence[Write]) -> int | None:
    """The position of the write that carries the stamp of its request: the first that leaves an item of the tenant."""
    for position, write in enumerate(writes):
        if isinstance(write, Put | Change) and isinstance(write.key, Key):
            return position
    return None


def request(write: Write, address: Address, by: str | None = None) -> "TransactWriteItemTypeDef":
    """The write as one part of a transaction.

    Args:
        by: the stamp of the request that asks for it; kept beside the item.
    """
    target = {"TableName": settings().table_name}
    match write:
        case Put():
            return {"Put": target | _put(write, address, by)}  # type: ignore[typeddict-item]
        case Change():
            return {"Update": target | {"Key": address(write.key)} | _change(write, address, by)}  # type: ignore[typeddict-item]
        case Upsert():
            return {"Update": target | {"Key": address(write.key)} | _upsert(write)}  # type: ignore[typeddict-item]
        case Add():
            return {"Update": target | {"Key": address(write.key)} | _add(write)}  # type: ignore[typeddict-item]
        case Remove():
            arguments: dict[str, Any] = target | {"Key": address(write.key)}
            _require(arguments, write.when, "attribute_exists(pk)" if write.must_exist else "", write.parts)
            return {"Delete": arguments}  # type: ignore[typeddict-item]
        case Exists():
            condition = {"Key": address(write.key), "ConditionExpression": "attribute_exists(pk)"}
            return {"ConditionCheck": target | condition}  # type: ignore[typeddict-item]


def item(write: Put, address: Address, by: str | None = None) -> dict[str, Any]:
    """The item as DynamoDB is told it. `by` is as of `request`."""
    told = address(write.key)
    told |= {"doc": {"S": write.doc}, "version": {"N": str(write.version)}}
    if write.parts is not None:
        told["parts"] = _parts(write.parts)
    if write.expires_at is not None:
        told["expires_at"] = {"N": str(write.expires_at)}
    told |= {index: _within(name, address) for index, name in write.lists.items() if name is not None}
    if by is not None:
        told["by"] = {"S": by}
    return told


def _put(write: Put, address: Address, by: str | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"Item": item(write, address, by)}
    if write.when == "absent":
        arguments["ConditionExpression"] = "attribute_not_exists(pk)"
    else:
        _require(arguments, write.when, "")
    return arguments


def _change(write: Change, address: Address, by: str | None) -> dict[str, Any]:
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
    for n, (part, text) in enumerate(write.before.items()):
        names |= {"#parts": "parts", f"#b{n}": part}
        values[f":b{n}"] = {"S": text}
        conditions.append(f"(attribute_not_exists(#parts.#b{n}) OR #parts.#b{n} < :b{n})")
    if write.max_parts is not None:
        names |= {"#parts": "parts"}
        values[":max_parts"] = {"N": str(write.max_parts)}
        conditions.append("size(#parts) < :max_parts")
    if write.parts is not None:
        names |= {"#parts": "parts"}
        values[":parts"] = _parts(write.parts)
        conditions.append("#parts = :parts")
    if write.doc is not None:
        names |= {"#version": "version"}
        values |= {":doc": {"S": write.doc}, ":one": {"N": "1"}}
        sets += ["doc = :doc", "#version = #version + :one"]
    if write.when is not None:
        names |= {"#version": "version"}
        values[":expected"] = {"N": str(write.when)}
        conditions.append("#version = :expected")
    names |= {"#by": "by"}
    drops = [f"#parts.#d{n}" for n in range(len(write.drop_parts))]
    for index, name in write.lists.items():
        names |= {f"#{index}": index}
        if name is None:
            drops.append(f"#{index}")
        else:
            values[f":{index}"] = _within(name, address)
            sets.append(f"#{index} = :{index}")
    if by is None:
        # The stamp tells of the last change, and this one is nobody's.
        drops.append("#by")
    else:
        values[":by"] = {"S": by}
        sets.append("#by = :by")
    clauses = [("SET", sets), ("REMOVE", drops)]
    expression = " ".join(f"{word} {', '.join(what)}" for word, what in clauses if what)
    arguments: dict[str, Any] = {
        "UpdateExpression": expression,
        "ConditionExpression": " AND ".join(conditions),
        "ExpressionAttributeNames": names,
    }
    if values:
        arguments["ExpressionAttributeValues"] = values
    return arguments


def _within(name: str, address: Address) -> dict[str, str]:
    """The name of a list in an index, which is as much the tenant's own as its partitions are."""
    within: dict[str, str] = address(Key(name, ""))["pk"]
    return within


def _upsert(write: Upsert) -> dict[str, Any]:
    return {
        "UpdateExpression": "SET doc = :doc, #version = :one, expires_at = :expires_at",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": {
            ":doc": {"S": write.doc},
            ":one": {"N": "1"},
            ":expires_at": {"N": str(write.expires_at)},
        },
    }


def _add(write: Add) -> dict[str, Any]:
    amounts = [(f"#a{n}", f":a{n}", name, amount) for n, (name, amount) in enumerate(write.amounts.items())]
    return {
        "UpdateExpression": "ADD " + ", ".join(f"{name} {value}" for name, value, _, _ in amounts),
        "ExpressionAttributeNames": {name: attribute for name, _, attribute, _ in amounts},
        "ExpressionAttributeValues": {value: {"N": str(amount)} for _, value, _, amount in amounts},
    }


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
