"""What follows from a change in the table: its audit record, the figures of runs and tool calls that ended, how many
tools a category has, and that a tenant's key at the gateway is looked after.

Worked out from the table's stream, which gives each change at least once and now and then out of order. So each
consequence is one write or one transaction that fails when it was made before.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.domain import audit, categories, gateway_keys, statistics
from shared.domain.run_records import Run
from shared.errors import ConditionFailed
from shared.store import keys, run_log, stream
from shared.store.stream import Written
from shared.store.table import TenantStore, Write


def follow(records: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Write what follows from a batch of the table's stream; 1 write or transaction for each consequence.

    Returns:
        What Lambda is answered: see `shared.store.stream.follow`.
    """
    return stream.follow(records, _follow, "AUDIT_DEAD_LETTERS")


def _follow(written: Written) -> None:
    # First: what is wrong with a record's stamp must not keep its tenant from a key.
    gateway_keys.ask(written)
    for writes in _consequences(written):
        # Else this was given before.
        with contextlib.suppress(ConditionFailed):
            TenantStore(written.tenant_id).write(*writes)


def _consequences(written: Written) -> Iterator[tuple[Write, ...]]:
    if written.by is not None:
        yield (audit.committed(written.tenant_id, audit.read_stamp(written.by)),)
    if counted := categories.count(written):
        yield counted
    if written.new is None:
        return
    if written.key.partition == keys.RUNS and written.old is not None:
        run = Run.model_validate_json(written.new.doc)
        ended_now = run.ended and not json.loads(written.old.doc).get("finished_at")
        if ended_now and (counted := statistics.count_run(run)):
            yield counted
    if run_id := run_log.run_of(written.key.partition):
        events = run_log.events_of(written.key.sort, written.new.doc)
        yield from ((write,) for write in statistics.count_calls(run_id, events))
