"""The event log of a run: numbered batches of events in the run's own partition.

A batch stands under the number of its first event and is only ever added behind the last one, on the condition that
nothing stands there. So a writer has seen everything before what it writes: numbers have no gaps, nothing follows a
terminal event, and the first writer of an intent is the only one. The log is the ledger of tool calls and the source
of the conversation, of every view of the run, and of its end.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared import clock
from shared.store import keys
from shared.store.table import Put, TenantStore

MAX_BATCH = 32


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its number in the run (from 1), its name, what it says, and when."""

    id: int
    event: str
    data: dict[str, Any]
    created_at: str


@dataclass(frozen=True, slots=True)
class Log:
    """The events of a run, and the texts that its first batch carries beside them."""

    events: list[Event]
    heads: dict[str, str]

    @property
    def tail(self) -> int:
        return self.events[-1].id if self.events else 0


def read(store: TenantStore, run_id: str) -> Log:
    """The whole log; 1 request per megabyte. Empty if the run does not exist."""
    page = store.query(keys.run_log(run_id), limit=None)
    events = [event for item in page.items for event in events_of(item.sort, item.doc)]
    return Log(events, dict(page.items[0].parts) if page.items else {})


def read_after(store: TenantStore, run_id: str, after: int, limit: int | None = None) -> list[Event]:
    """Events behind number `after`: at most `limit`, or some whole batches; 1 request."""
    # The event behind `after` may sit inside a batch that began up to MAX_BATCH - 1 numbers earlier.
    start = keys.log_batch(run_id, max(0, after - MAX_BATCH + 1)).sort
    page = store.query(keys.run_log(run_id), limit=(limit or MAX_BATCH) + MAX_BATCH, after=start if after else None)
    events = [event for item in page.items for event in events_of(item.sort, item.doc) if event.id > after]
    return events[:limit]


def read_on(store: TenantStore, run_id: str, tail: int) -> list[Event]:
    """The next events behind number `tail`, in whole batches; 1 request.

    Cheaper than `read_after`, which reads up to `MAX_BATCH` events once more: for whoever follows a log as it grows.

    Args:
        tail: the last number of a batch.
    """
    start = keys.log_batch(run_id, tail).sort
    page = store.query(keys.run_log(run_id), limit=MAX_BATCH, after=start)
    return [event for item in page.items for event in events_of(item.sort, item.doc)]


def append(
    run_id: str, tail: int, events: Sequence[tuple[str, dict[str, Any]]], heads: dict[str, str] | None = None
) -> Put:
    """The write that adds events behind number `tail`; it fails if another writer was there first.

    Args:
        events: pairs of name and data, at most `MAX_BATCH`.
        heads: texts to keep beside the first batch.
    """
    if not 0 < len(events) <= MAX_BATCH:
        raise ValueError(f"a batch holds 1 to {MAX_BATCH} events")
    moment = clock.now()
    doc = json.dumps(
        [{"event": name, "data": data, "created_at": moment} for name, data in events],
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return Put(keys.log_batch(run_id, tail + 1), doc, when="absent", parts=heads)


def run_of(partition: str) -> str | None:
    """The run whose log a partition is; None if it is another partition."""
    prefix = keys.run_log("")
    return partition.removeprefix(prefix) if partition.startswith(prefix) else None


def events_of(sort: str, doc: str) -> list[Event]:
    """The events of one batch, by its sort key and document."""
    first = int(sort.rpartition("#")[2])
    return [Event(id=first + n, **event) for n, event in enumerate(json.loads(doc))]
