"""One call of the API under audit: from who sent it to what it was answered."""

from dataclasses import dataclass, field, replace
from typing import TypeVar

from shared.api.caller import Caller, Visitor
from shared.domain import audit
from shared.domain.audit import Stamp, Subject
from shared.store.table import TenantStore

_CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
# What is told of reads: those that the caller was not allowed.
_REFUSED_READS = {401, 403, 429}


Sender = TypeVar("Sender", bound=Caller | Visitor)


@dataclass(slots=True)
class Call:
    """A call. Until it is known who sent it there is nobody in whose audit it belongs.

    Attributes:
        action: the name of the operation, such as `create_agent`.
    """

    trace_id: str
    action: str = "unknown"
    _stamp: Stamp | None = None
    _subject: Subject = field(default_factory=Subject)
    _store: TenantStore | None = None

    def begin(self, sender: Caller | Visitor, method: str, path: str) -> None:
        """Say who asks for what, before it is known whether they may.

        Args:
            path: percent-encoded, without its query.
        """
        if isinstance(sender, Visitor):
            self._subject = sender.subject
        else:
            self._subject.is_known(sender.tenant_id, sender.user_id, sender.key_id)
        self._stamp = audit.new_stamp(
            self.action,
            method,
            path,
            user_id=self._subject.user_id,
            key_id=self._subject.key_id,
            trace_id=self.trace_id,
            source_ip=sender.source_ip,
        )

    def stamping(self, sender: Sender, first_id: str | None = None) -> Sender:
        """The sender with a store whose writes carry the stamp of this call, if it is one that changes things.

        A visitor's carry none: who that is turns out too late.

        Args:
            first_id: see `TenantStore`.
        """
        stamped = isinstance(sender, Caller) and self._stamp is not None and self._stamp.method in _CHANGING
        by = self._stamp.text if self._stamp is not None and stamped else None
        self._store = TenantStore(sender.tenant_id, first_id, by)
        return replace(sender, store=self._store)

    def end(self, status: int, code: str | None = None) -> None:
        """Record what the call was answered, unless the table's stream tells of it; 1 write or none, nothing is raised.

        Args:
            code: of an error; `replayed` of an answer that was given before.
        """
        subject = self._subject
        if self._stamp is None or not subject.tenant_id:
            return
        if self._stamp.method in _CHANGING:
            told = status < 400 and self._store is not None and self._store.stamped
        else:
            told = status not in _REFUSED_READS
        if not told:
            stamp = self._stamp._replace(user_id=subject.user_id, key_id=subject.key_id)
            audit.answered(TenantStore(subject.tenant_id), stamp, status, code)
