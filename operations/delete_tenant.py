"""Delete a suspended tenant: all that the table, the directory, the bucket and the gateway hold.

Suspend it first (PATCH /tenants/{id} with "status": "suspended"), and wait until its last request and stream are over.
Without --yes it only counts. It reads the whole table, at least twice (see `operations/scan.py` for the cost), and
removes what it finds as it goes, 25 items a request; the tenant's record goes last. Stopped at any point, the same
command goes on from there. Other tenants are not touched. Runs that have not ended are stopped; what their last steps
write is removed when the command is run again.

With --keep-audit the audit trail stays until it expires, and so does the suspended record: the id is not given again.
"""

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from operations import command, scan, stack
from operations.command import Refused
from operations.scan import Raw
from shared import clock
from shared.clients import aws, gateway, machines, objects
from shared.config import settings
from shared.domain import run_records, tenant_directory
from shared.domain.tenants import Tenant
from shared.errors import TableBusy
from shared.store import keys
from shared.store.all_tenants import AllTenants
from shared.store.table import Remove

# Streams last 15 minutes, and no function works longer.
_AT_WORK = timedelta(minutes=15)
_CHUNK = 25
_ATTEMPTS = 10
_PASSES = 10
_STOPPED = "runs that were stopped"
_OBJECTS = "uploads, builds"
# Entries outside every tenant, whose documents say whose they are.
_DIRECTORY = tuple(
    entry("").partition for entry in (keys.directory_entry, keys.login, keys.refresh_family, keys.invite)
)


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--tenant", required=True, metavar="ID", help="the suspended tenant")
    parser.add_argument("--keep-audit", action="store_true", help="leave the audit trail, and the id taken")
    parser.add_argument("--now", action="store_true", help="do not wait for its last requests and streams")
    parser.add_argument("--yes", action="store_true", help="do it")
    arguments = parser.parse_args()
    stack.opened(arguments.stack, arguments.region)
    everyone = AllTenants()
    tenant = tenant_directory.get(everyone, arguments.tenant)
    check(tenant, wait=not arguments.now)
    if not arguments.yes:
        found = Counter(kind_of(raw) for page in _pages(tenant.id, arguments.keep_audit) for raw in page)
        _show(found)
        print("Nothing was deleted: --yes deletes them, and its key and plan at the gateway.")
        return
    _show(delete(everyone, tenant, arguments.keep_audit))
    print(f"{tenant.id} is deleted." if not arguments.keep_audit else f"All of {tenant.id} but its audit is deleted.")


def check(tenant: Tenant, *, wait: bool) -> None:
    """Make sure that a tenant may be deleted now.

    Raises:
        Refused: it is active, or was until a moment ago.
    """
    if tenant.status != "suspended":
        raise Refused(f"{tenant.id} is active: suspend it first.")
    since = datetime.fromisoformat(tenant.updated_at)
    until = since + timedelta(seconds=settings().authorizer_cache_seconds) + _AT_WORK
    if wait and clock.now() < clock.iso(until):
        raise Refused(f"Requests of {tenant.id} may be under way until {until:%H:%M} UTC. Wait, or --now.")


def delete(everyone: AllTenants, tenant: Tenant, keep_audit: bool) -> Counter[str]:
    """Remove everything of a tenant; how many items of each kind were removed. It can be stopped and repeated.

    Raises:
        Refused: something goes on writing, or did until now.
        ConditionFailed: the tenant's record was changed meanwhile.
    """
    removed: Counter[str] = Counter()
    # Until a pass over the table finds nothing: what was under way may have written behind the one before.
    for _ in range(_PASSES):
        found = _remove_once(tenant.id, keep_audit, removed)
        if not found:
            break
    else:
        raise Refused(f"Something goes on writing data of {tenant.id}. Try again later.")
    removed[_OBJECTS] += objects.remove_all(tenant.id)
    gateway.drop_key(tenant.id)
    gateway.drop_plan(tenant.id)
    if removed[_STOPPED]:
        raise Refused(
            f"{removed[_STOPPED]} runs were stopped, and everything was removed but the tenant's record. "
            "Their last steps may still write: run the same command again in 15 minutes."
        )
    if not keep_audit:
        everyone.store_of(tenant.id).write(
            Remove(keys.TENANT, when=tenant.version),
            Remove(keys.tenant_entry(tenant.created_at, tenant.id), must_exist=False),
        )
        removed[keys.TENANTS] += 2
    return removed


def kind_of(raw: Raw) -> str:
    """The kind of an item: the first word of its partition, below the tenant."""
    partition = str(raw["pk"]["S"])
    words = partition.split("#")
    return words[2] if partition.startswith(keys.of_tenant(words[1])) else words[0]


def _pages(tenant_id: str, keep_audit: bool) -> Iterator[list[Raw]]:
    """What is to be removed of a tenant: everything but its record."""
    own = keys.of_tenant(tenant_id)
    stays = {(own + keys.TENANT.partition, keys.TENANT.sort)}

    def goes(raw: Raw) -> bool:
        partition, sort = raw["pk"]["S"], raw["sk"]["S"]
        if partition.startswith(own):
            return (partition, sort) not in stays and not (keep_audit and partition == own + keys.AUDIT)
        return bool(json.loads(raw["doc"]["S"])["tenant_id"] == tenant_id)

    for page in scan.pages([own, *_DIRECTORY]):
        yield [raw for raw in page if goes(raw)]


def _remove_once(tenant_id: str, keep_audit: bool, removed: Counter[str]) -> int:
    """One pass over the table; how many items it removed."""
    count = 0
    for page in _pages(tenant_id, keep_audit):
        for raw in page:
            if _is_at_work(raw, tenant_id):
                machines.stop_background(raw["sk"]["S"])
                removed[_STOPPED] += 1
        for start in range(0, len(page), _CHUNK):
            chunk = page[start : start + _CHUNK]
            _remove([{"pk": raw["pk"], "sk": raw["sk"]} for raw in chunk])
            removed.update(kind_of(raw) for raw in chunk)
            count += len(chunk)
            _progress(count)
    return count


def _is_at_work(raw: Raw, tenant_id: str) -> bool:
    """Whether an item is the record of a run that has not ended."""
    is_run = raw["pk"]["S"] == keys.of_tenant(tenant_id) + keys.RUNS
    return is_run and not run_records.read(raw["doc"]["S"]).ended


def _remove(places: Sequence[dict[str, Any]]) -> None:
    """Delete items, which need not be there.

    Raises:
        TableBusy: the table takes no more for now.
    """
    table = settings().table_name
    requests: Any = {table: [{"DeleteRequest": {"Key": place}} for place in places]}
    for attempt in range(_ATTEMPTS):
        requests = aws.dynamodb().batch_write_item(RequestItems=requests)["UnprocessedItems"]
        if not requests:
            return
        time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise TableBusy("batch write left items")


def _progress(count: int) -> None:
    if sys.stdout.isatty():
        print(f"\r{count} items removed", end="", flush=True)
    elif count <= _CHUNK or count % 1_000 < _CHUNK:
        print(f"{count} items removed", flush=True)


def _show(counts: Counter[str]) -> None:
    print(f"\n{counts.total()} items:")
    for kind, count in sorted(counts.items()):
        print(f"  {kind:<16} {count:>9}")


if __name__ == "__main__":
    command.run(main)
