"""The head of a session: which run is at work in it, which wait, and what was said so far.

It is the session's lock. Whoever begins or ends a run of the session changes the head in the same transaction, on the
version that they read: so at most one run is at work, and the next one is named in the moment in which one ends.
"""

import json

from shared import clock
from shared.domain.fields import Record
from shared.domain.run_records import Run
from shared.store import keys
from shared.store.table import Change, Put, TenantStore, Write

_CALL_SECONDS = 5
_TITLE_CHARACTERS = 80


class Active(Record):
    """The run at work. Until `settle_at` nobody need ask whether it still is."""

    run_id: str
    settle_at: str


class Head(Record):
    """A session as the table keeps it.

    Attributes:
        uid: names its turns and its place in the list. A session made anew under its old name has another.
        waiting: ids of runs, in the order in which they came.
        turns: questions that were answered; their numbers begin with 1.
    """

    session_id: str
    uid: str
    title: str
    active: Active | None = None
    waiting: list[str] = []
    runs: int = 0
    turns: int = 0
    created_at: str
    updated_at: str
    deleted_at: str | None = None


def find(store: TenantStore, session_id: str) -> tuple[Head, int] | None:
    """The head of a session and its version, also of a deleted one; 1 request."""
    item = store.get(keys.session(session_id))
    return (Head.model_validate_json(item.doc), item.version) if item else None


def leave(store: TenantStore, run: Run) -> list[Write]:
    """What is to be written with the end of a run of a session; 1 request.

    The next of the queue is called: the reader of the table's stream (`functions/runs/call_up.py`) sees the part
    `called_at` and starts it.

    Args:
        run: as it will be when it has ended.
    """
    found = find(store, run.session_id)
    if found is None:
        return []
    head, version = found
    writes: list[Write] = []
    if head.active and head.active.run_id == run.id:
        following = head.waiting[0] if head.waiting else None
        active = Active(run_id=following, settle_at=clock.in_seconds(_CALL_SECONDS)) if following else None
        head = head.model_copy(update={"active": active, "waiting": head.waiting[1:]})
        if following:
            writes.append(Change(keys.waiting_run(following), set_parts={"called_at": clock.now()}))
    elif run.id in head.waiting:
        head = head.model_copy(update={"waiting": [waiting for waiting in head.waiting if waiting != run.id]})
    else:
        return []
    if run.status == "succeeded":
        head = head.model_copy(update={"turns": head.turns + 1})
        writes.append(Put(keys.turn(head.uid, head.turns), turn(run)))
    head = head.model_copy(update={"updated_at": clock.now()})
    return [Change(keys.session(run.session_id), doc=head.model_dump_json(), when=version), *writes]


def title(first: Run) -> str:
    """What a session is called: the beginning of its first question."""
    return " ".join(first.input_message.split())[:_TITLE_CHARACTERS]


def turn(run: Run) -> str:
    """Question and answer of a run that succeeded, as the session keeps them."""
    said = {
        "run_id": run.id,
        "input_message": run.input_message,
        "output_message": run.output_message or "",
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
