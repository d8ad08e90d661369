"""The audit: who asked for what, when, from where, and what came of it. Never what was in the request.

What a request changes carries its stamp, and the reader of the table's stream makes the record of that
(`shared.domain.changes`), so that a change and its record cannot part and the request waits for neither. What leaves
no stamp, a refusal first of all, is recorded by whoever answers it. Both use the id of the stamp: one call, one record.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from shared import clock, metrics
from shared.config import settings
from shared.domain.fields import Record
from shared.store import keys
from shared.store.ids import first_at, made_at, new_id
from shared.store.listing import filtered
from shared.store.table import Item, Page, Put, TenantStore, Upsert
from shared.telemetry import logger, measure

Outcome = Literal["succeeded", "refused", "failed"]
_MAX_PATH = 300


class Stamp(NamedTuple):
    """What a request's writes say of it. Short: it is stored with every item that a request writes."""

    id: str
    action: str
    method: str
    path: str
    user_id: str
    key_id: str
    trace_id: str
    source_ip: str

    @property
    def text(self) -> str:
        """The stamp as it stands beside an item."""
        return json.dumps(self, ensure_ascii=False, separators=(",", ":"))


class Actor(Record):
    """Who asked: the user, and the key or token that they showed."""

    user_id: str
    key_id: str


class AuditRecord(Record):
    """One call. Of a change that succeeded, the HTTP status is not known here: null."""

    id: str
    tenant_id: str
    actor: Actor
    action: str
    method: str
    path: str
    outcome: Outcome
    status: int | None
    code: str | None
    trace_id: str
    source_ip: str
    created_at: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records are wanted. `path` is what their path begins with; both times are included."""

    user_id: str | None = None
    key_id: str | None = None
    action: str | None = None
    outcome: Outcome | None = None
    path: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether the records must be read to tell which are wanted."""
        return any((self.user_id, self.key_id, self.action, self.outcome, self.path))

    def fits(self, record: AuditRecord) -> bool:
        """Whether a record of the right time is wanted."""
        pairs = (
            (self.user_id, record.actor.user_id),
            (self.key_id, record.actor.key_id),
            (self.action, record.action),
            (self.outcome, record.outcome),
        )
        return all(not wanted or wanted == found for wanted, found in pairs) and record.path.startswith(self.path or "")


@dataclass(slots=True)
class Subject:
    """Who the sender of a request to a public route turned out to be, and so in whose audit the call belongs.

    Nobody, as long as no tenant is named. The visitors' own tenant stands for those whom no tenant knows, where their
    call must not be answered sooner than that of others.
    """

    tenant_id: str = ""
    user_id: str = ""
    key_id: str = ""

    def is_known(self, tenant_id: str, user_id: str, key_id: str = "") -> None:
        """Say who it is."""
        self.tenant_id, self.user_id, self.key_id = tenant_id, user_id, key_id


def new_stamp(
    action: str, method: str, path: str, *, user_id: str, key_id: str, trace_id: str, source_ip: str
) -> Stamp:
    """A stamp for one request."""
    return Stamp(new_id(), action, method, path[:_MAX_PATH], user_id, key_id, trace_id, source_ip)


def read_stamp(text: str) -> Stamp:
    """The stamp that stands beside an item.

    Raises:
        ValueError, TypeError: this is none.
    """
    stamp = Stamp(*(str(field) for field in json.loads(text)))
    made_at(stamp.id)
    return stamp


def committed(tenant_id: str, stamp: Stamp) -> Put:
    """The write that records a change that is in the table. It fails if the call is recorded already."""
    doc, expires_at = _record(tenant_id, stamp, "succeeded", None, None)
    return Put(keys.audit(stamp.id), doc, expires_at=expires_at)


def answered(store: TenantStore, stamp: Stamp, status: int, code: str | None) -> None:
    """Record a call with its answer; 1 write. It may replace what the stream told of the same call, which is less.

    The answer is made already, so nothing is raised: a record that cannot be written is in the log, whole.
    """
    outcome: Outcome = "succeeded" if status < 400 else "refused" if status < 500 else "failed"
    _tell(store, stamp, outcome, status, code)


def _tell(store: TenantStore, stamp: Stamp, outcome: Outcome, status: int | None, code: str | None) -> None:
    doc, expires_at = _record(store.tenant_id, stamp, outcome, status, code)
    try:
        store.write(Upsert(keys.audit(stamp.id), doc, expires_at))
    except Exception:  # noqa: BLE001 - the caller has their answer; the log keeps what the table did not take
        logger.exception("audit record not written", extra={"audit_record": doc})
        measure({metrics.AUDIT_LOST: 1})


def _record(tenant_id: str, stamp: Stamp, outcome: Outcome, status: int | None, code: str | None) -> tuple[str, int]:
    """A record's document, and when it expires."""
    made = made_at(stamp.id)
    record = AuditRecord(
        tenant_id=tenant_id,
        actor=Actor(user_id=stamp.user_id, key_id=stamp.key_id),
        outcome=outcome,
        status=status,
        code=code,
        created_at=clock.iso(made),
        **{name: value for name, value in stamp._asdict().items() if name in AuditRecord.model_fields},
    )
    ends = made + timedelta(days=settings().audit_retention_days)
    return record.model_dump_json(), int(ends.timestamp())


def read(item: Item) -> AuditRecord:
    return AuditRecord.model_validate_json(item.doc)


def find(store: TenantStore, wanted: AuditFilter, limit: int, after: str | None) -> Page:
    """A page of the records that are wanted, newest first; 1 request, or 2 if not only times are named."""

    def fetch(limit: int, after: str | None) -> Page:
        return store.query(
            keys.AUDIT,
            limit=limit,
            after=after,
            newest_first=True,
            since=first_at(wanted.since) if wanted.since else None,
            before=first_at(wanted.until + timedelta(milliseconds=1)) if wanted.until else None,
        )

    if not wanted.looks_inside:
        return fetch(limit, after)
    return filtered(fetch, lambda item: wanted.fits(read(item)), limit, after)
