"""What follows from a change in the table: its audit record, and the figures of runs and tool calls that ended.

Worked out from the table's stream, which gives each change at least once and now and then out of order. So each
consequence is one write or one transaction that fails when it was made before.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.clients import dead_letters
from shared.domain import audit, statistics
from shared.domain.run_records import Run
from shared.errors import ConditionFailed
from shared.store import keys, run_log, stream
from shared.store.stream import Written
from shared.store.table import TenantStore, Write
from shared.telemetry import logger


def follow(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write what follows from a batch of the table's stream; 1 write or transaction for each consequence.

    A record that nothing can be made of goes to the dead letters, so that it does not hold up those behind it.

    Returns:
        The places from which on the stream must be given again: empty, or that of the record whose consequences
        could not be written. Those behind it are left for then.
    """
    for record in records:
        if not _followed(record):
            return [stream.place(record)]
    return []


def _followed(record: Mapping[str, Any]) -> bool:
    try:
        written = stream.read(record)
        return written is None or all(_made(written.tenant_id, writes) for writes in _consequences(written))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, it will be wrong again
        logger.exception("stream record parked")
        return _parked(record, f"{type(error).__name__}: {error}")


def _consequences(written: Written) -> Iterator[tuple[Write, ...]]:
    if written.by is not None:
        yield (audit.committed(written.tenant_id, audit.read_stamp(written.by)),)
    if written.new is None:
        return
    if written.key.partition == keys.RUNS and written.old is not None:
        run = Run.model_validate_json(written.new.doc)
        if run.ended and not json.loads(written.old.doc).get("finished_at"):
            counted = statistics.count_run(run)
            if counted:
                yield counted
    if run_id := run_log.run_of(written.key.partition):
        events = run_log.events_of(written.key.sort, written.new.doc)
        yield from ((write,) for write in statistics.count_calls(run_id, events))


def _made(tenant_id: str, writes: tuple[Write, ...]) -> bool:
    try:
        TenantStore(tenant_id).write(*writes)
    except ConditionFailed:
        # This was given before.
        return True
    except Exception:  # noqa: BLE001 - the table's trouble, not the record's: it comes again
        logger.exception("consequence not written")
        return False
    return True


def _parked(record: Mapping[str, Any], reason: str) -> bool:
    try:
        dead_letters.park(record, reason)
    except Exception:  # noqa: BLE001 - the queue's trouble, not the record's: it comes again
        logger.exception("dead letter not sent")
        return False
    return True
