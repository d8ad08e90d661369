"""Watching a run: its events one look after another, from any point of its log to its end."""

from dataclasses import dataclass

from shared.domain import conversation, runs
from shared.domain.run_records import RunEvent
from shared.store import run_log
from shared.store.table import TenantStore


@dataclass(frozen=True, slots=True)
class Place:
    """How far a watcher has read.

    Attributes:
        after: number of the last event seen.
        whole: that event is the last one of its batch, so the next batch begins behind it.
    """

    after: int
    whole: bool = False


def look(store: TenantStore, run_id: str, place: Place) -> tuple[list[RunEvent], Place]:
    """The events behind a place, oldest first, and the place behind them; 1 request."""
    if place.whole:
        found = run_log.read_on(store, run_id, place.after)
    else:
        found = run_log.read_after(store, run_id, place.after)
    if not found:
        return [], place
    events = [RunEvent(id=event.id, event=event.event, data=event.data, created_at=event.created_at) for event in found]
    return events, Place(events[-1].id, whole=True)


def is_end(event: RunEvent) -> bool:
    """Whether no event can follow this one."""
    return event.event in conversation.TERMINAL


def is_over(store: TenantStore, run_id: str) -> bool:
    """Whether the run has ended; 1 request. One that outlived its deadline, since its machine died, is ended here.

    Raises:
        NotFound: no such run in this tenant.
    """
    return runs.get(store, run_id).ended
