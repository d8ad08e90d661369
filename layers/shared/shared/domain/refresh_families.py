"""Logins that last: refresh tokens, of which each is good for one use and brings the next (RFC 9700, section 4.14).

All tokens of one login are a family, `<family id>.<secret>`. The family's record holds the hash of the secret that
comes next; whoever presents another one holds a token that was used before, or stole it: the family ends, and with it
every access token that names it.
"""

import hashlib
import hmac
import json
import re
import secrets as random
import time
from dataclasses import dataclass

from shared.domain.audit import Subject
from shared.errors import ConditionFailed, Conflict, Unauthorized
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import Item, Put, Remove, TenantStore, Write, find_directory_entry

KEPT_SECONDS = 30 * 24 * 3600
"""How long after its login a family ends at the latest."""

_FORM = re.compile(r"([0-9a-f-]{36})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Token:
    """The access token that a caller came with.

    Attributes:
        family_id: its login; empty if it was made from a key. expires_at: epoch seconds.
    """

    id: str
    family_id: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token that may be used now."""

    family_id: str
    tenant_id: str
    user_id: str
    digest: str
    request_id: str
    version: int
    expires_at: int


def begin(store: TenantStore, tenant_id: str, user_id: str) -> tuple[str, str]:
    """A new family and its first token; 1 write. A login that is repeated under its Idempotency-Key goes on with
    the family that it began."""
    family_id = store.new_id()
    member = Presented(family_id, tenant_id, user_id, "", "", 0, int(time.time()) + KEPT_SECONDS)
    secret, first = _next(member)
    try:
        store.write(first)
    except ConditionFailed:
        item = find_directory_entry(keys.refresh_family(family_id))
        if item is None or not is_of(item, tenant_id, user_id):
            raise
        secret, again = _next(_presented(family_id, item, "", ""))
        store.write(again)
    return family_id, f"{family_id}.{secret}"


def present(store: TenantStore, token: str, subject: Subject) -> Presented:
    """The family that a token may renew; 1 read. A token that was used before ends its family: 1 write.

    Raises:
        Unauthorized: it may renew none.
    """
    form = _FORM.fullmatch(token)
    item = find_directory_entry(keys.refresh_family(form[1])) if form else None
    if form is None or item is None:
        raise refusal()
    whose = json.loads(item.doc)
    subject.is_known(whose["tenant_id"], whose["user_id"])
    request_id, digest = store.new_id(), _digest(form[2])
    found = _presented(form[1], item, digest, request_id)
    if found.expires_at <= time.time():
        raise refusal()
    record = json.loads(item.doc)
    # The answer to the first try of this very request was lost on its way.
    repeated = record["request_id"] == request_id and hmac.compare_digest(record["spent"], digest)
    if not repeated and not hmac.compare_digest(record["digest"], digest):
        store.write(end(form[1]))
        raise refusal()
    return found


def renew(store: TenantStore, presented: Presented) -> str:
    """The family's next token; 1 write. Of two requests with the same token one gets here first.

    Raises:
        Conflict: this is the other one.
    """
    secret, following = _next(presented)
    try:
        store.write(following)
    except ConditionFailed:
        raise Conflict("Another request has used this refresh token.", code="refresh_token_used") from None
    return f"{presented.family_id}.{secret}"


def end(family_id: str) -> Write:
    """The write that ends a family, if it has not ended yet."""
    return Remove(keys.refresh_family(family_id), must_exist=False)


def owned(token: str, store: TenantStore, user_id: str) -> str:
    """The family of a token, if it is this user's, else nothing; 1 read."""
    form = _FORM.fullmatch(token)
    item = find_directory_entry(keys.refresh_family(form[1])) if form else None
    return form[1] if form and item and is_of(item, store.tenant_id, user_id) else ""


def is_of(item: Item, tenant_id: str, user_id: str) -> bool:
    """Whether a family is this user's."""
    record = json.loads(item.doc)
    return (record["tenant_id"], record["user_id"]) == (tenant_id, user_id)


def refusal() -> Unauthorized:
    return Unauthorized("The refresh token is not valid.", code="invalid_refresh_token")


def _next(presented: Presented) -> tuple[str, Put]:
    secret = random.token_urlsafe(32)
    record = {
        "tenant_id": presented.tenant_id,
        "user_id": presented.user_id,
        "digest": _digest(secret),
        "spent": presented.digest,
        "request_id": presented.request_id or new_id(),
        "expires_at": presented.expires_at,
    }
    put = Put(
        keys.refresh_family(presented.family_id),
        json.dumps(record),
        when=presented.version or "absent",
        version=presented.version + 1,
        expires_at=presented.expires_at,
    )
    return secret, put


def _presented(family_id: str, item: Item, digest: str, request_id: str) -> Presented:
    record = json.loads(item.doc)
    return Presented(
        family_id=family_id,
        tenant_id=record["tenant_id"],
        user_id=record["user_id"],
        digest=digest,
        request_id=request_id,
        version=item.version,
        expires_at=record["expires_at"],
    )


def _digest(secret: str) -> str:
    """256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()
