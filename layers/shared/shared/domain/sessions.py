"""Sessions as the API shows them: conversations across runs.

A run that names no session has one of its own under its id: it is shown like any other, but listed only once a second
run has joined it.
"""

import json
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared import clock
from shared.domain import session_heads, session_queue
from shared.domain.fields import Record
from shared.domain.run_records import Run, read
from shared.domain.session_heads import Head
from shared.errors import ConditionFailed, Conflict, NotFound
from shared.store import keys
from shared.store.ids import is_id
from shared.store.table import Change, Item, Page, Put, Remove, TenantStore, Write

_ROLES = ("user", "assistant")


class Session(Record):
    """A conversation. At most one run is at work in it; those that wait begin in their order."""

    id: str
    tenant_id: str
    title: str
    status: Literal["idle", "busy"]
    active_run_id: str | None
    queued_run_ids: list[str]
    run_count: int
    message_count: int
    created_at: str
    updated_at: str


class SessionMessage(Record):
    """What was said: the question or the answer of a run that succeeded."""

    role: Literal["user", "assistant"]
    content: str
    run_id: str
    created_at: str


def get(store: TenantStore, session_id: str) -> Session:
    """A session; 1 request, more if its run is overdue.

    Raises:
        NotFound: no such session in this tenant.
    """
    found = _settled(store, session_id)
    return _own(found) if isinstance(found, Run) else _shown(store, found.head)


def page(store: TenantStore, limit: int, after: str | None) -> Page:
    """A page of the sessions that runs were begun in by name, newest first; 2 requests."""
    listed = store.query(keys.SESSIONS, limit=limit, after=after, newest_first=True)
    places = [(item, keys.session(json.loads(item.doc)["session_id"])) for item in listed.items]
    found = store.get_many([key for _, key in places])
    heads = [
        replace(found[key], sort=item.sort)
        for item, key in places
        # One that was deleted between the two requests, and perhaps made anew, is left out.
        if key in found and Head.model_validate_json(found[key].doc).uid == item.sort
    ]
    return Page(heads, listed.next_after)


def of_item(store: TenantStore, item: Item) -> Session:
    return _shown(store, Head.model_validate_json(item.doc))


def delete(store: TenantStore, session_id: str) -> None:
    """Soft delete: the session and its messages are gone from every read; its runs stay. 1 read, 1 transaction.

    Raises:
        NotFound: no such session in this tenant.
        Conflict: a run is at work in it.
    """
    found = _settled(store, session_id)
    if not found.ended if isinstance(found, Run) else found.head.active:
        raise Conflict("A run of this session is at work.", code="session_busy")
    moment = clock.now()
    writes: list[Write]
    if isinstance(found, Run):
        # The mark that it is gone is a head: the run's own messages belong to no session that could be read.
        head = Head(session_id=found.id, uid=found.id, title="", created_at=moment, updated_at=moment)
        writes = [Put(keys.session(session_id), _deleted(head, moment))]
    else:
        doc = _deleted(found.head, moment)
        writes = [
            Change(keys.session(session_id), doc=doc, when=found.version),
            Remove(keys.session_entry(found.head.uid)),
        ]
    try:
        store.write(*writes)
    except ConditionFailed as error:
        raise Conflict("The session was changed just now; try again.") from error


def messages(store: TenantStore, session_id: str, limit: int, after: str | None) -> Page:
    """A page of what was said in a session, oldest first; 2 requests.

    Each item is a message; its sort key is the number of its turn and its role.

    Raises:
        NotFound: no such session in this tenant.
    """
    found = _find(store, session_id)
    if isinstance(found, Run):
        said = _messages("00000001", session_heads.turn(found)) if found.status == "succeeded" else []
        return _cut([item for item in said if after is None or item.sort > after], limit, more=False)
    number = int(after[:8]) if after and after[:8].isdecimal() else 1
    # A page may begin with the answer of a turn whose question was on the page before.
    turns = store.query(keys.turns(found.head.uid), limit=limit // 2 + 2, after=f"{max(number - 1, 0):08d}")
    said = [message for item in turns.items for message in _messages(item.sort, item.doc)]
    rest = [item for item in said if after is None or item.sort > after]
    return _cut(rest, limit, more=turns.next_after is not None)


def message(item: Item) -> SessionMessage:
    return SessionMessage.model_validate_json(item.doc)


def _cut(items: list[Item], limit: int, *, more: bool) -> Page:
    kept = items[:limit]
    return Page(kept, kept[-1].sort if kept and (more or len(items) > limit) else None)


def _messages(number: str, turn: str) -> list[Item]:
    said: dict[str, Any] = json.loads(turn)
    texts = (said["input_message"], said["created_at"]), (said["output_message"], said["finished_at"])
    return [
        Item(
            sort=f"{number}#{position}",
            doc=json.dumps({"role": role, "content": content, "run_id": said["run_id"], "created_at": moment}),
            version=1,
            parts={},
            amounts={},
        )
        for position, (role, (content, moment)) in enumerate(zip(_ROLES, texts, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class _Found:
    head: Head
    version: int


def _find(store: TenantStore, session_id: str) -> _Found | Run:
    """The head of a session, or the run whose own session it is."""
    places = [keys.session(session_id), *([keys.run(session_id)] if is_id(session_id) else [])]
    found = store.get_many(places)
    if places[0] in found:
        item = found[places[0]]
        head = Head.model_validate_json(item.doc)
        if head.deleted_at is None:
            return _Found(head, item.version)
    elif places[-1] in found:
        run = read(found[places[-1]].doc)
        if run.session_id == session_id and run.kind == "llm":
            return run
    raise NotFound("No such session.")


def _settled(store: TenantStore, session_id: str) -> _Found | Run:
    """The same, after a run that is overdue in it was looked after."""
    found = _find(store, session_id)
    if isinstance(found, _Found) and session_queue.settle(store, found.head):
        found = _find(store, session_id)
    return found


def _deleted(head: Head, moment: str) -> str:
    return head.model_copy(update={"deleted_at": moment, "updated_at": moment}).model_dump_json()


def _shown(store: TenantStore, head: Head) -> Session:
    return Session(
        id=head.session_id,
        tenant_id=store.tenant_id,
        title=head.title,
        status="busy" if head.active else "idle",
        active_run_id=head.active.run_id if head.active else None,
        queued_run_ids=head.waiting,
        run_count=head.runs,
        message_count=2 * head.turns,
        created_at=head.created_at,
        updated_at=head.updated_at,
    )


def _own(run: Run) -> Session:
    return Session(
        id=run.id,
        tenant_id=run.tenant_id,
        title=session_heads.title(run),
        status="idle" if run.ended else "busy",
        active_run_id=None if run.ended else run.id,
        queued_run_ids=[],
        run_count=1,
        message_count=2 if run.status == "succeeded" else 0,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )
