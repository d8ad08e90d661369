"""How runs come into a session, wait in it, and are called: one at a time, in the order in which they came."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared import clock
from shared.clients import machines
from shared.domain import run_ends, session_heads
from shared.domain.plans import Plan, PlannedHistory
from shared.domain.run_records import Run, read, start_event, stored
from shared.domain.session_heads import Active, Head
from shared.errors import ConditionFailed, Conflict, RunError, TableBusy
from shared.store import keys, run_log, stream
from shared.store.ids import is_id
from shared.store.races import step_aside
from shared.store.stream import Written
from shared.store.table import Change, Item, Put, Remove, TenantStore, Write

MAX_WAITING = 20
_ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class Entry:
    """How a run comes into its session: whether it waits, what was said before it, what is to be written with it."""

    waits: bool
    history: PlannedHistory | None
    writes: tuple[Write, ...]


def enter(store: TenantStore, run: Run, *, enqueue: bool) -> Entry:
    """What is to be written with a new run of a session; 1 request, more if the run at work is overdue.

    A session begins with the first run that names it. If it bears the id of a run that had none, that run is its first.

    Raises:
        Conflict: a run is at work and the new one may not wait, or too many wait already.
    """
    stands = keys.session(run.session_id)
    origin_key = keys.run(run.session_id)
    for _ in range(_ATTEMPTS):
        found = store.get_many([stands, origin_key] if is_id(run.session_id) else [stands])
        item = found.get(stands)
        head = Head.model_validate_json(item.doc) if item else None
        writes: list[Write] = []
        if head is None or head.deleted_at:
            origin = found.get(origin_key) if head is None else None
            head, writes = _first(run, origin)
        if not settle(store, head):
            break
    else:
        raise TableBusy("the session's last run cannot be ended")
    if head.active and not enqueue:
        raise Conflict("A run of this session is at work.", code="session_busy")
    if head.active and len(head.waiting) >= MAX_WAITING:
        raise Conflict(f"{MAX_WAITING} runs of this session wait already.", code="session_queue_full")
    waits = head.active is not None
    active = head.active or Active(run_id=run.id, settle_at=run.deadline_at)
    entered = head.model_copy(
        update={
            "active": active,
            "waiting": [*head.waiting, run.id] if waits else [],
            "runs": head.runs + 1,
            "updated_at": clock.now(),
        }
    ).model_dump_json()
    lock = Change(stands, doc=entered, when=item.version) if item else Put(stands, entered)
    history = PlannedHistory(uid=head.uid, turns=head.turns) if head.turns and not waits else None
    return Entry(waits, history, (lock, Put(keys.run_of_session(run.session_id, run.id), "{}"), *writes))


def _first(run: Run, origin: Item | None) -> tuple[Head, list[Write]]:
    """The head of a new session, and what else is written with it."""
    moment = clock.now()
    title = session_heads.title(run)
    head = Head(session_id=run.session_id, uid=run.id, title=title, created_at=moment, updated_at=moment)
    writes: list[Write] = [Put(keys.session_entry(head.uid), json.dumps({"session_id": run.session_id}))]
    first = Run.model_validate_json(origin.doc) if origin else None
    if origin is None or first is None or first.kind != "llm" or first.session_id != run.session_id:
        return head, writes
    writes.append(Put(keys.run_of_session(run.session_id, first.id), "{}"))
    head = head.model_copy(update={"runs": 1, "title": session_heads.title(first), "created_at": first.created_at})
    if not first.ended:
        # Its end must find the session: the version says so (`run_ends.finish`).
        writes.append(Change(keys.run(first.id), doc=origin.doc, when=1))
        return head.model_copy(update={"active": Active(run_id=first.id, settle_at=first.deadline_at)}), writes
    if first.status == "succeeded":
        writes.append(Put(keys.turn(head.uid, 1), session_heads.turn(first)))
        return head.model_copy(update={"turns": 1}), writes
    return head, writes


def settle(store: TenantStore, head: Head) -> bool:
    """Look after a run that should have begun or ended by now; no request if it is not time yet.

    Returns:
        Whether the session may have changed.
    """
    if head.active is None or clock.now() <= head.active.settle_at:
        return False
    item = store.get(keys.run(head.active.run_id))
    if item is None:
        return False
    run = read(item.doc)
    if run.status == "queued":
        call_up(store, run.id)
        return True
    if run.ended:
        run_ends.finish(store, run.id, "timed_out", stop_reason="max_seconds", error=run.error_message)
    return run.ended


def call_all(records: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """Begin the runs that a batch of the table's stream tells were called.

    Returns:
        What Lambda is answered: see `shared.store.stream.follow`.
    """
    return stream.follow(records, _called, "CALL_UP_DEAD_LETTERS")


def _called(written: Written) -> None:
    if written.new is not None and written.key == keys.waiting_run(written.key.sort):
        call_up(TenantStore(written.tenant_id), written.key.sort)


def call_up(store: TenantStore, run_id: str) -> None:
    """Begin the run that its session has called, and start its machine; may be repeated at any point.

    Raises:
        Unavailable: the machine could not be started; call again.
    """
    for _ in range(_ATTEMPTS):
        found = store.get_many([keys.run(run_id), keys.waiting_run(run_id)])
        if keys.run(run_id) not in found:
            return
        run = Run.model_validate_json(found[keys.run(run_id)].doc)
        if run.status != "queued":
            if not run.ended:
                machines.start_background({"tenant_id": store.tenant_id, "run_id": run_id})
            return
        stands = session_heads.find(store, run.session_id)
        if stands is None or stands[0].active is None or stands[0].active.run_id != run_id:
            return
        if keys.waiting_run(run_id) in found:
            _begin(store, run, stands[0], found[keys.waiting_run(run_id)].doc)


def _begin(store: TenantStore, run: Run, head: Head, planned: str) -> None:
    """Write the first event of a run that waited. Its time counts from now on."""
    plan = Plan.model_validate_json(planned)
    moment, deadline = clock.now(), clock.in_seconds(plan.limits.max_seconds)
    history = PlannedHistory(uid=head.uid, turns=head.turns) if head.turns else None
    plan = plan.model_copy(update={"deadline_at": deadline, "history": history})
    begun = run.model_copy(
        update={"status": "running", "started_at": moment, "updated_at": moment, "deadline_at": deadline}
    )
    try:
        store.write(
            Change(keys.run(run.id), doc=stored(begun), when=1, lists=begun.lists),
            run_log.append(run.id, 0, [start_event(begun)], heads={"plan": plan.text(), "run": stored(begun)}),
            Remove(keys.waiting_run(run.id)),
        )
    except ConditionFailed:
        # Somebody else began it, or it was cancelled: what stands in the table holds.
        return


def withdraw(store: TenantStore, run: Run) -> Run | None:
    """Cancel a run that waits.

    Returns:
        The run as it ended; None if it waits no more.
    """
    moment = clock.now()
    gone = run.model_copy(
        update={
            "status": "cancelled",
            "stop_reason": "cancelled",
            "tools_called": [],
            "finished_at": moment,
            "updated_at": moment,
        }
    )
    for attempt in range(_ATTEMPTS):
        found = store.get(keys.waiting_run(run.id))
        if found is None:
            return None
        heads = {"plan": found.doc, "run": stored(gone)}
        try:
            store.write(
                Change(keys.run(run.id), doc=stored(gone), when=1, lists=gone.lists),
                run_log.append(run.id, 0, [start_event(gone), run_ends.terminal(gone)], heads=heads),
                Remove(keys.waiting_run(run.id)),
                *session_heads.leave(store, gone),
            )
        except (ConditionFailed, TableBusy):
            step_aside(attempt)
        else:
            run_ends.count(gone)
            return gone
    raise RunError("The run could not be taken out of its queue.")
