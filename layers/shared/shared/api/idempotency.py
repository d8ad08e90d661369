"""`Idempotency-Key` on POST: one effect, however often the request comes.

Why not the Powertools utility: its record has no tenant, a missing header goes through unnoticed, and any exception
deletes the record, so that a handler that failed after its effect has it again (docs/decisions/0004).

A record belongs to a tenant, a caller and an operation. It reserves the id of what the request will make, so that a
second try after a crash meets its own first effect instead of making another.
"""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from shared.api.caller import Caller, Visitor
from shared.errors import BadRequest, ConditionFailed, InFlight, Unprocessable
from shared.store import keys
from shared.store.ids import new_id
from shared.store.keys import Key
from shared.store.table import Change, Item, Put, Remove, TenantStore

KEPT_SECONDS = 24 * 3600
# Longer than any function may take: whoever holds a record longer is dead.
_LEASE_SECONDS = 35
_MAX_KEPT_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to carry out a request, with the id for what it makes."""

    key: Key
    version: int
    body: str
    reserved_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that the request got the first time."""

    answer: dict[str, Any]


def begin(caller: Caller | Visitor, header: str, operation: str, body: str) -> Ticket | Replay:
    """Take the request on, or find what it was answered; 1 write, with 1 read and 1 write more if seen before.

    Raises:
        BadRequest: the key is empty, too long or not printable.
        InFlight: the first request is still on its way.
        Unprocessable: the key came with another body before.
    """
    if not 0 < len(header) <= 255 or not header.isprintable():
        raise BadRequest("Idempotency-Key must have 1 to 255 printable characters.", code="invalid_idempotency_key")
    digest = _digest("\0".join((caller.user_id, operation, header)))
    now = int(time.time())
    # Keyed by the header, which is kept nowhere: the digest alone would let a password in the body be guessed.
    sealed = hmac.new(header.encode(), body.encode(), hashlib.sha256).hexdigest()
    ticket = Ticket(keys.idempotency(operation[:200], digest), 1, sealed, new_id(), now + KEPT_SECONDS)
    try:
        caller.store.write(Put(ticket.key, _held(ticket, now), expires_at=ticket.expires_at))
    except ConditionFailed:
        item = caller.store.get(ticket.key)
        if item is None:
            raise InFlight("The first request failed just now; try again.", headers={"Retry-After": "1"}) from None
        return _seen_before(caller.store, ticket, item, now)
    return ticket


def _seen_before(store: TenantStore, ticket: Ticket, item: Item, now: int) -> Ticket | Replay:
    record = json.loads(item.doc)
    if record["expires_at"] <= now:
        # The table's own expiry can be days late.
        mine = Ticket(ticket.key, item.version + 1, ticket.body, ticket.reserved_id, ticket.expires_at)
    else:
        if record["body"] != ticket.body:
            raise Unprocessable("This Idempotency-Key came with another body.", code="idempotency_key_reused")
        if "answer" in record:
            return Replay(record["answer"])
        if record["lease"] > now:
            raise InFlight("The first request is still on its way.", headers={"Retry-After": "1"})
        mine = Ticket(ticket.key, item.version + 1, ticket.body, record["id"], record["expires_at"])
    try:
        store.write(Change(mine.key, doc=_held(mine, now), when=item.version))
    except ConditionFailed:
        raise InFlight("The first request is still on its way.", headers={"Retry-After": "1"}) from None
    return mine


def end(store: TenantStore, ticket: Ticket, answer: dict[str, Any]) -> None:
    """Keep the answer for 24 hours; 1 write.

    A refusal (4xx) had no effect and is forgotten. After a failure (5xx), and for an answer that may be shown only
    once, the next try goes on with the same reserved id.
    """
    status = answer["statusCode"]
    headers = answer.get("multiValueHeaders", {})
    try:
        if 400 <= status < 500:
            store.write(Remove(ticket.key, when=ticket.version))
        elif status >= 500 or "no-store" in headers.get("Cache-Control", []) or _too_large(answer):
            store.write(Change(ticket.key, doc=_held(ticket, 0), when=ticket.version))
        else:
            kept = {name: answer[name] for name in ("statusCode", "body", "multiValueHeaders") if name in answer}
            doc = json.dumps({"body": ticket.body, "expires_at": ticket.expires_at, "answer": kept})
            store.write(Change(ticket.key, doc=doc, when=ticket.version))
    except ConditionFailed:
        # The lease ran out and another try took over; its answer is the one to keep.
        return


def _held(ticket: Ticket, now: int) -> str:
    lease = now + _LEASE_SECONDS if now else 0
    record = {"body": ticket.body, "id": ticket.reserved_id, "lease": lease, "expires_at": ticket.expires_at}
    return json.dumps(record)


def _too_large(answer: dict[str, Any]) -> bool:
    return len((answer.get("body") or "").encode()) > _MAX_KEPT_BYTES


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
