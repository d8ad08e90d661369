"""Bring items back from a table that AWS restored to an earlier moment (docs/operations.md, "Restore").

The stack goes on with its own table: what is missing there is put back, so its stream, its permissions, the secrets
and the gateway's keys stay as they are. What was changed since is left alone, unless --overwrite. What is new stays.

Never brought back: logins, keys that were revoked, and what has expired. Without --yes it only counts.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from operations import command, scan, stack
from operations.command import Refused
from operations.scan import Raw
from shared.clients import aws
from shared.config import settings
from shared.domain import api_keys, tenants
from shared.store import keys
from shared.store.table import TenantStore, item_of

_CHUNK = 100
_ROUNDS = 10
_LOGINS = keys.refresh_family("").partition
_KEYS = keys.directory_entry("").partition
# Who made the last change: the reader of the stream would record that change again.
_STAMP = "by"


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--from", required=True, dest="source", metavar="TABLE", help="the restored table")
    parser.add_argument("--tenant", metavar="ID", help="of this tenant only")
    parser.add_argument("--overwrite", action="store_true", help="what was changed since, too")
    parser.add_argument("--yes", action="store_true", help="do it")
    arguments = parser.parse_args()
    stack.opened(arguments.stack, arguments.region)
    if arguments.source == settings().table_name:
        raise Refused("That is the stack's own table.")
    if arguments.tenant and not tenants.is_id(arguments.tenant):
        raise Refused(f"{arguments.tenant} is no id of a tenant.")
    counts = restore(arguments.source, arguments.tenant, overwrite=arguments.overwrite, really=arguments.yes)
    for what, count in sorted(counts.items()):
        print(f"{what:<12} {count:>9}")
    print(
        "Done." if arguments.yes else "Nothing was changed: --yes puts back what is missing (and changed: --overwrite)."
    )


def restore(source: str, tenant_id: str | None, *, overwrite: bool, really: bool) -> Counter[str]:
    """Put back what the stack's table lacks. Repeatable.

    Returns:
        How many items are `same`, `changed`, `missing`, and how many were `put back`.
    """
    counts: Counter[str] = Counter()
    for page in scan.whole(source):
        wanted = [raw for raw in page if _comes_back(raw) and (tenant_id is None or _is_of(raw, tenant_id))]
        for start in range(0, len(wanted), _CHUNK):
            for raw, standing in _compared(wanted[start : start + _CHUNK]):
                state = "missing" if standing is None else "same" if standing == _unstamped(raw) else "changed"
                counts[state] += 1
                if really and (state == "missing" or (state == "changed" and overwrite)):
                    counts["put back"] += _put(_detached(raw), over=standing is not None)
    return counts


def _comes_back(raw: Raw) -> bool:
    expires_at = raw.get("expires_at")
    is_over = expires_at is not None and int(expires_at["N"]) <= time.time()
    return not is_over and not raw["pk"]["S"].startswith(_LOGINS) and not _is_revoked(raw)


def _is_revoked(raw: Raw) -> bool:
    """Whether an item is the entry of a key that was revoked since; 1 read for each key."""
    if not raw["pk"]["S"].startswith(_KEYS):
        return False
    entry = json.loads(raw["doc"]["S"])
    record = TenantStore(entry["tenant_id"]).get(keys.api_key(entry["id"]))
    return record is not None and api_keys.read(record).revoked_at is not None


def _is_of(raw: Raw, tenant_id: str) -> bool:
    """Whether an item is a tenant's: by its partition, or by what an entry of the directory or the list says."""
    partition = raw["pk"]["S"]
    if partition.startswith("TENANT#") and not partition.startswith(keys.of_tenant(keys.OPERATOR)):
        return bool(partition.startswith(keys.of_tenant(tenant_id)))
    said = json.loads(item_of(raw).doc)
    return isinstance(said, dict) and tenant_id == said.get("tenant_id", said.get("id"))


def _compared(chunk: Sequence[Raw]) -> Iterator[tuple[Raw, Raw | None]]:
    """Each item with what stands in its place, without the stamp."""
    table = settings().table_name
    standing: dict[tuple[str, str], Raw] = {}
    request: Any = {table: {"Keys": [{"pk": raw["pk"], "sk": raw["sk"]} for raw in chunk], "ConsistentRead": True}}
    for _ in range(_ROUNDS):
        answer = aws.dynamodb().batch_get_item(RequestItems=request)
        standing |= {(raw["pk"]["S"], raw["sk"]["S"]): _unstamped(raw) for raw in answer["Responses"].get(table, [])}
        request = answer["UnprocessedKeys"]
        if not request:
            break
    else:
        raise Refused("The table takes no more for now. Try again later.")
    for raw in chunk:
        yield raw, standing.get((raw["pk"]["S"], raw["sk"]["S"]))


def _unstamped(raw: Raw) -> Raw:
    return {name: value for name, value in raw.items() if name != _STAMP}


def _detached(raw: Raw) -> Raw:
    """An item as it is put back: a tenant's record without its key at the gateway, which may be gone, and is found or
    made when the stream tells of the record."""
    item = _unstamped(raw)
    if item["sk"]["S"] == keys.TENANT.sort and "parts" in item:
        parts = {name: text for name, text in item["parts"]["M"].items() if name != tenants.GATEWAY_PART}
        item["parts"] = {"M": parts}
    return item


def _put(raw: Raw, *, over: bool) -> bool:
    """Put an item back; whether it was. One that somebody made a moment ago stays."""
    condition: Any = {} if over else {"ConditionExpression": "attribute_not_exists(pk)"}
    client = aws.dynamodb()
    try:
        client.put_item(TableName=settings().table_name, Item=raw, **condition)
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


if __name__ == "__main__":
    command.run(main)
