"""Watching a run: its events one look after another, from any point of its log to its end."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain import conversation, runs
from shared.domain.run_records import RunEvent
from shared.store import run_log
from shared.store.table import TenantStore

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.03, 0.5
_PART_OF_SILENCE = 0.05


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


def is_text(found: Sequence[RunEvent]) -> bool:
    """Whether the model was speaking when a look found this."""
    return bool(found) and found[-1].event == "message.delta"


def pause(found: Sequence[RunEvent], silent: float, *, flowing: bool) -> float:
    """Seconds until the next look that is worth a request.

    Args:
        found: what the last look found.
        silent: seconds since a look found something.
        flowing: the look before that found something found text, too. Short answers have one piece, and then their end.
    """
    if len(found) >= run_log.MAX_BATCH:
        # As much as one look may bring: there can be more.
        return 0.0
    if flowing and is_text(found):
        return conversation.TEXT_SECONDS
    # A model's first token is late by a small part of the time that it was waited for.
    return min(max(_SHORTEST_PAUSE, silent * _PART_OF_SILENCE), _LONGEST_PAUSE)


def is_end(event: RunEvent) -> bool:
    """Whether no event can follow this one."""
    return event.event in conversation.TERMINAL


def is_over(store: TenantStore, run_id: str) -> bool:
    """Whether the run has ended; 1 request. One that outlived its deadline, since its machine died, is ended here.

    Raises:
        NotFound: no such run in this tenant.
    """
    return runs.get(store, run_id).ended
