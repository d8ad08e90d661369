"""Users: the people of a tenant, each with a role. The names that they log in with are unique in the platform."""

import hashlib
import json
import unicodedata
from typing import Annotated, Literal

from pydantic import Field

from shared import clock
from shared.domain import grants
from shared.domain.fields import Flag, Model, Name, Record, left_out
from shared.domain.scopes import ROLES
from shared.errors import ConditionFailed, Conflict, NotFound, VersionConflict
from shared.store import keys
from shared.store.table import Change, Item, Page, Put, TenantStore, Write

_UPDATE_ATTEMPTS = 5

Role = Literal["admin", "developer", "user"]
# A user name holds no @, so a text that somebody logs in with is one or the other.
Username = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Email = Annotated[
    str,
    Field(max_length=254, pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z0-9-]{2,63}$"),
]


class Profile(Record):
    """A user as document 2 shows one."""

    id: str
    email: str
    username: str
    full_name: str | None
    is_active: bool


class User(Profile):
    """A user as the administrators of the tenant see one."""

    tenant_id: str
    role: Role
    version: int
    created_at: str
    updated_at: str


class UserPatch(Model):
    """What to change of a user."""

    role: Role = left_out()
    is_active: Flag = left_out()
    full_name: Name | None = None


class Me(Record):
    """Who calls. A key that no user made has no e-mail and no user name."""

    id: str
    email: str | None = None
    username: str | None = None
    full_name: str | None = None
    is_active: bool = True
    tenant_id: str
    role: str
    scopes: list[str]


def login_digest(name: str) -> str:
    """What the directory holds of a user name or an e-mail address: one digest, however it is written."""
    return hashlib.sha256(unicodedata.normalize("NFKC", name).strip().casefold().encode()).hexdigest()


def new(store: TenantStore, user: User, password_hash: str, *, founds: bool) -> list[Write]:
    """The writes that make a user. The first three fail where the id, the user name or the e-mail is taken.

    Args:
        founds: the user's tenant is made with them. Otherwise 1 read, if the user is to be an administrator.
    """
    entry = json.dumps({"tenant_id": user.tenant_id, "user_id": user.id})
    return [
        Put(keys.user(user.id), user.model_dump_json(), parts={"password": json.dumps(password_hash)}),
        Put(keys.login(login_digest(user.username)), entry),
        Put(keys.login(login_digest(user.email)), entry),
        *([Put(keys.ADMINISTRATORS, json.dumps([user.id]))] if founds else _administrators(store, user)),
    ]


def read(item: Item) -> User:
    return User.model_validate_json(item.doc)


def password_hash(item: Item) -> str:
    """The only thing of a user that is in no document."""
    return str(json.loads(item.parts["password"]))


def find(store: TenantStore, user_id: str) -> User | None:
    """A user of this tenant; 1 request."""
    item = store.get(keys.user(user_id))
    return read(item) if item else None


def rights(user: User) -> frozenset[str]:
    """What a user may do now. Nothing that was made in the user's name may do more."""
    return ROLES[user.role] if user.is_active else frozenset()


def page(store: TenantStore, limit: int, after: str | None) -> Page:
    """A page of users, newest first; 1 request."""
    return store.query(keys.USERS, limit=limit, after=after, newest_first=True)


def update(
    store: TenantStore, user_id: str, patch: UserPatch, *, granted: frozenset[str], expected: int | None
) -> User:
    """Set the fields given; 1 read and 1 write, with 1 read more and a transaction where administrators change.

    Args:
        granted: what the caller holds. expected: the version of `If-Match`.

    Raises:
        NotFound: no such user in this tenant.
        Forbidden: the role, the user's own or the new one, is wider than the caller's rights.
        Conflict: the user is the tenant's last active administrator.
        VersionConflict: the user is not in the expected version.
    """
    for _ in range(_UPDATE_ATTEMPTS):
        item = store.get(keys.user(user_id))
        if item is None:
            raise NotFound("No such user.")
        if expected is not None and item.version != expected:
            raise VersionConflict(f"The user is in version {item.version}, not {expected}.")
        old = read(item)
        changed = patch.model_dump(exclude_unset=True)
        new = old.model_copy(update=changed | {"version": old.version + 1, "updated_at": clock.now()})
        for role in (old.role, new.role):
            grants.check_role(granted, role)
        writes: list[Write] = [Change(keys.user(user_id), doc=new.model_dump_json(), when=item.version)]
        if _is_administrator(old) != _is_administrator(new):
            writes += _administrators(store, new)
        try:
            store.write(*writes)
        except ConditionFailed:
            continue
        return new
    raise VersionConflict("The user is being changed by others; read it and try again.")


def me(store: TenantStore, user_id: str, role: str, scopes: frozenset[str]) -> Me:
    """Who calls, with what the caller may do; 1 request."""
    user = find(store, user_id)
    of_user = user.model_dump() if user else {"id": user_id, "tenant_id": store.tenant_id, "role": role}
    return Me.model_validate(of_user | {"scopes": sorted(scopes)})


def _is_administrator(user: User) -> bool:
    return user.role == "admin" and user.is_active


def _administrators(store: TenantStore, user: User) -> list[Write]:
    """The write that lets a user join or leave the tenant's active administrators; 1 read, if there is any change.

    Raises:
        Conflict: nobody would be left.
    """
    belongs = _is_administrator(user)
    if not belongs and user.version == 1:
        return []
    item = store.get(keys.ADMINISTRATORS)
    ids: list[str] = json.loads(item.doc) if item else []
    ids = [other for other in ids if other != user.id] + ([user.id] if belongs else [])
    if not ids:
        raise Conflict("The last active administrator must stay.", code="last_administrator")
    doc = json.dumps(ids)
    if item is None:
        return [Put(keys.ADMINISTRATORS, doc)]
    return [Put(keys.ADMINISTRATORS, doc, when=item.version, version=item.version + 1)]
