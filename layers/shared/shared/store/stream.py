"""The table's stream: what became of one item after another.

Source: Amazon DynamoDB Developer Guide, "Change data capture for DynamoDB Streams"; records as Lambda gives them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from shared.clients import dead_letters
from shared.errors import TableBusy, Unavailable
from shared.store.keys import Key
from shared.store.table import Item, item_of
from shared.telemetry import logger


@dataclass(frozen=True, slots=True)
class Written:
    """One change of one tenant's item.

    Attributes:
        by: the stamp of the request that made the change; None if no request did.
        place: its number in the stream.
    """

    tenant_id: str
    key: Key
    old: Item | None
    new: Item | None
    by: str | None
    place: str


def follow(
    records: Sequence[Mapping[str, Any]], act: Callable[[Written], None], letters: str
) -> dict[str, list[dict[str, str]]]:
    """Do what follows from each record of a batch, in order: the one way of all readers of the stream.

    A record at which `act` fails for good is parked, with the reason, so that it does not hold up those behind it.
    Where one of our own parts failed (the table, a queue, the state machine) the batch is to be given again from there.

    Args:
        act: does what follows from a change, and may be called for it again.
        letters: the setting that names the queue of dead letters.

    Returns:
        Lambda's "partial batch response".
    """
    for record in records:
        try:
            _followed(record, act, letters)
        except Exception:  # noqa: BLE001 - whatever it was, it was not the record
            logger.exception("stream record not followed")
            return {"batchItemFailures": [{"itemIdentifier": _place(record)}]}
    return {"batchItemFailures": []}


def _followed(record: Mapping[str, Any], act: Callable[[Written], None], letters: str) -> None:
    try:
        written = read(record)
        if written is not None:
            act(written)
    except Exception as error:
        if _passes(error):
            raise
        logger.exception("stream record parked")
        dead_letters.park(record, f"{type(error).__name__}: {error}", letters)


def _passes(error: Exception) -> bool:
    """Whether trying again may help; what else is wrong with a record will be wrong again."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"] != "ValidationException"
    return isinstance(error, TableBusy | Unavailable | BotoCoreError | OSError)


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
        place=_place(record),
    )


def _place(record: Mapping[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _stamp(image: Mapping[str, Any] | None) -> str | None:
    return image["by"]["S"] if image is not None and "by" in image else None
