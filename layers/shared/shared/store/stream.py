"""The table's stream: what became of one item after another.

Source: Amazon DynamoDB Developer Guide, "Change data capture for DynamoDB Streams"; records as Lambda gives them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.store.keys import Key
from shared.store.table import Item, item_of


@dataclass(frozen=True, slots=True)
class Written:
    """One change of one tenant's item.

    Attributes:
        by: the stamp of the request that made the change; None if no request did.
    """

    tenant_id: str
    key: Key
    old: Item | None
    new: Item | None
    by: str | None


def read(record: Mapping[str, Any]) -> Written | None:
    """What a record tells; None of what lies outside all tenants.

    Raises:
        KeyError, ValueError: it is no record of our table.
    """
    said = record["dynamodb"]
    partition, sort = said["Keys"]["pk"]["S"], said["Keys"]["sk"]["S"]
    if not partition.startswith("TENANT#"):
        return None
    _, tenant_id, below = partition.split("#", 2)
    old, new = said.get("OldImage"), said.get("NewImage")
    stamp, before = _stamp(new), _stamp(old)
    return Written(
        tenant_id=tenant_id,
        key=Key(below, sort),
        old=None if old is None else item_of(old),
        new=None if new is None else item_of(new),
        by=stamp if stamp != before else None,
    )


def place(record: Mapping[str, Any]) -> str:
    """The record's place in the stream, from which on Lambda gives it again."""
    return str(record["dynamodb"]["SequenceNumber"])


def _stamp(image: Mapping[str, Any] | None) -> str | None:
    return image["by"]["S"] if image is not None and "by" in image else None
