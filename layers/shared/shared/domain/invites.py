"""Invitations: a token, shown once, with which somebody joins a tenant in a given role."""

import hashlib
import hmac
import json
import re
import secrets as random
import time

from shared import clock
from shared.domain import grants, users
from shared.domain.fields import Model, Record
from shared.domain.scopes import ROLES, common
from shared.domain.users import Email, Role
from shared.errors import ConditionFailed, Unprocessable
from shared.store import keys
from shared.store.table import Item, Put, TenantStore, Write, find_directory_entry

KEPT_SECONDS = 7 * 24 * 3600

_FORM = re.compile(r"([0-9a-f-]{36})\.([A-Za-z0-9_-]{43})")


class InviteCreate(Model):
    """Whom to invite. With an e-mail address only its owner can join."""

    email: Email | None = None
    role: Role = "user"


class Invite(Record):
    """An invitation, as it is shown once."""

    id: str
    email: str | None
    role: Role
    invite_token: str | None
    created_at: str
    expires_at: str


def create(store: TenantStore, draft: InviteCreate, *, user_id: str, granted: frozenset[str]) -> Invite:
    """Invite somebody; 1 write. The token is in the answer and nowhere else.

    Raises:
        Forbidden: the role is wider than the caller's rights.
    """
    grants.check_role(granted, draft.role)
    invite_id, secret = store.new_id(), random.token_urlsafe(32)
    invite = Invite(
        id=invite_id,
        email=draft.email,
        role=draft.role,
        invite_token=f"{invite_id}.{secret}",
        created_at=clock.now(),
        expires_at=clock.in_seconds(KEPT_SECONDS),
    )
    record = invite.model_dump(exclude={"invite_token"}) | {
        "tenant_id": store.tenant_id,
        "digest": _digest(secret),
        "invited_by": user_id,
        "used_by": None,
    }
    try:
        store.write(_put(invite_id, record, None))
    except ConditionFailed:
        # The first try of this idempotent request made it; its secret is not kept anywhere.
        item = find_directory_entry(keys.invite(invite_id))
        if item is None:
            raise
        return Invite.model_validate(json.loads(item.doc) | {"invite_token": None})
    return invite


def redeem(token: str, user_id: str, email: str) -> tuple[str, Role, Write]:
    """The tenant and the role that an invitation gives, and the write that uses it up; 1 or 2 reads.

    Raises:
        Unprocessable: unknown, used, expired, for another address, or by somebody who could not give the role now.
    """
    form = _FORM.fullmatch(token)
    item = find_directory_entry(keys.invite(form[1])) if form else None
    if form is None or item is None:
        raise _refusal()
    record = json.loads(item.doc)
    fits = (
        hmac.compare_digest(record["digest"], _digest(form[2]))
        and record["used_by"] is None
        and record["expires_at"] > clock.now()
        and (record["email"] is None or users.login_digest(record["email"]) == users.login_digest(email))
    )
    if not fits or not _still_stands(record):
        raise _refusal()
    return record["tenant_id"], record["role"], _put(form[1], record | {"used_by": user_id}, item)


def _still_stands(record: dict[str, str]) -> bool:
    """Whether the one who invited could still do so. One who is no user, but a boot key, is asked nothing."""
    maker = users.find(TenantStore(record["tenant_id"]), record["invited_by"])
    role = ROLES[record["role"]]
    return maker is None or common(users.rights(maker), role) == role


def _put(invite_id: str, record: dict[str, object], seen: Item | None) -> Put:
    return Put(
        keys.invite(invite_id),
        json.dumps(record),
        when=seen.version if seen else "absent",
        version=1 + (seen.version if seen else 0),
        expires_at=int(time.time()) + KEPT_SECONDS,
    )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _refusal() -> Unprocessable:
    problem = {"loc": ["body", "invite_token"], "msg": "is not valid", "type": "invalid_invite"}
    return Unprocessable("The invitation is not valid.", code="invalid_invite", errors=[problem])
