"""Platform keys: ``ap_<environment>_<key id>_<secret>_<checksum>``.

The checksum refuses typos and forgeries without a read, the key id makes the look-up one request, and the table holds
HMAC-SHA256(pepper, key) only. The shape follows GitHub's token format: an identifiable prefix, and a CRC32 in base62
(GitHub blog, "Behind GitHub's new authentication token formats", 2021-04-05).
"""

import hashlib
import hmac
import json
import re
import secrets as random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from shared import clock
from shared.config import boot_keys, settings
from shared.domain import budgets, grants, key_digests, users
from shared.domain.budgets import Budget
from shared.domain.fields import Model, Name, Record, ZonedMoment
from shared.domain.limits import MoneyBudget, TokenBudget
from shared.domain.scopes import SCOPES, common, meant, role_of
from shared.errors import ConditionFailed, NotFound
from shared.store import keys, listing
from shared.store.table import Change, Item, Page, Put, Remove, TenantStore, find_directory_entry

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(r"(ap_[a-z0-9]{1,12}_([0-9A-Za-z]{16})_[0-9A-Za-z]{32})_([0-9A-Za-z]{6})")
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PREFIX_LENGTH = 12
_USE_NOTED_SECONDS = 60
_BOOT = "boot"


def _known_scope(value: str) -> str:
    if value not in SCOPES:
        raise ValueError(f"unknown scope; known are {', '.join(sorted(SCOPES))}")
    return value


def _in_future(value: datetime) -> datetime:
    if clock.iso(value) <= clock.now():
        raise ValueError("must be in the future")
    return value


Scope = Annotated[str, Field(max_length=50), AfterValidator(_known_scope)]


class KeyLimits(Model):
    """What the runs that a key starts may use up together; null is no cap but the tenant's."""

    tokens: TokenBudget | None = None
    cost_usd: MoneyBudget | None = None


class ApiKeyCreate(Model):
    """A new key. Without scopes it gets its maker's, less the management of keys."""

    name: Name = "key"
    scopes: Annotated[list[Scope], Field(max_length=50)] | None = None
    expires_at: Annotated[ZonedMoment, AfterValidator(_in_future)] | None = None
    limits: KeyLimits = KeyLimits.model_construct()


class ApiKey(Record):
    """A key as it may be shown."""

    id: str
    tenant_id: str
    user_id: str
    name: str
    key_prefix: str
    scopes: list[str]
    is_active: bool
    expires_at: str | None
    created_at: str
    last_used_at: str | None = None
    revoked_at: str | None = None
    limits: KeyLimits = KeyLimits.model_construct()


class ApiKeyCreated(ApiKey):
    """A key as it is shown once."""

    key: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a credential stands for.

    Attributes:
        key_id: what stands in the key, or a token's `jti`. record_id: the id under which the API lists the key.
        family_id: the login of a token; empty for a token that was made from a key, `None` for a key.
        budgets: what the runs that it starts draw on, beside the tenant's.
    """

    tenant_id: str
    user_id: str
    scopes: frozenset[str]
    key_id: str
    expires_at: str | None
    record_id: str = ""
    family_id: str | None = None
    budgets: tuple[Budget, ...] = ()

    @property
    def role(self) -> str:
        return role_of(self.scopes)


def base62(value: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        value, digit = divmod(value, 62)
        digits = _ALPHABET[digit] + digits
    return digits


def checksum(text: str) -> str:
    return base62(zlib.crc32(text.encode()), 6)


def create(
    store: TenantStore,
    draft: ApiKeyCreate,
    *,
    user_id: str,
    granted: frozenset[str],
    draws_on: Sequence[Budget] = (),
) -> ApiKeyCreated:
    """Make a key; 1 transaction. The key itself is in the answer and nowhere else.

    Args:
        draws_on: the budgets of the key that makes this one: a key cannot get away from its own limits.

    Raises:
        Forbidden: a scope is asked for that the maker lacks.
    """
    wanted = grants.narrowed(granted, draft.scopes)
    key_id = "".join(random.choice(_ALPHABET) for _ in range(16))
    body = f"ap_{settings().environment}_{key_id}_{''.join(random.choice(_ALPHABET) for _ in range(32))}"
    key = f"{body}_{checksum(body)}"
    record = ApiKey(
        id=store.new_id(),
        tenant_id=store.tenant_id,
        user_id=user_id,
        name=draft.name,
        key_prefix=key[:_PREFIX_LENGTH],
        scopes=sorted(wanted),
        is_active=True,
        expires_at=clock.iso(draft.expires_at) if draft.expires_at else None,
        created_at=clock.now(),
        limits=draft.limits,
    )
    drawn = [*draws_on, *budgets.of_key(key_id, draft.limits.tokens, draft.limits.cost_usd)]
    entry = {
        "id": record.id,
        "tenant_id": store.tenant_id,
        "user_id": user_id,
        "scopes": record.scopes,
        **key_digests.made(key),
        "expires_at": record.expires_at,
        "budgets": budgets.as_text(drawn),
    }
    try:
        store.write(
            Put(keys.api_key(record.id), record.model_dump_json(), parts={"key_id": key_id}),
            Put(keys.directory_entry(key_id), json.dumps(entry)),
        )
    except ConditionFailed:
        # The first try of this idempotent request made the key. Its secret is not kept anywhere: shown once.
        item = store.get(keys.api_key(record.id))
        if item is None:
            raise
        return ApiKeyCreated(key=None, **read(item).model_dump())
    return ApiKeyCreated(key=key, **record.model_dump())


def read(item: Item) -> ApiKey:
    key = ApiKey.model_validate_json(item.doc)
    ended = not key.is_active or _is_over(key.expires_at)
    return key.model_copy(update={"is_active": not ended, "last_used_at": item.parts.get("last_used_at")})


def page(store: TenantStore, include_revoked: bool, limit: int, after: str | None) -> Page:
    """A page of keys, newest first; 1 request, or up to 3 where revoked keys are passed over."""

    def fetch(limit: int, after: str | None) -> Page:
        return store.query(keys.API_KEYS, limit=limit, after=after, newest_first=True)

    if include_revoked:
        return fetch(limit, after)
    return listing.filtered(fetch, lambda item: read(item).revoked_at is None, limit, after, first=limit)


def revoke(store: TenantStore, api_key_id: str) -> None:
    """End a key; repeatable; 1 read and 1 transaction. It stops working within `AUTHORIZER_CACHE_SECONDS`.

    Raises:
        NotFound: no such key in this tenant.
    """
    item = store.get(keys.api_key(api_key_id))
    if item is None:
        raise NotFound("No such API key.")
    record = ApiKey.model_validate_json(item.doc)
    if not record.is_active:
        return
    ended = record.model_copy(update={"is_active": False, "revoked_at": clock.now()})
    try:
        store.write(
            Change(keys.api_key(api_key_id), doc=ended.model_dump_json(), when=item.version),
            Remove(keys.directory_entry(item.parts["key_id"]), must_exist=False),
        )
    except ConditionFailed:
        # Another request was faster, and the key has ended.
        return


def identify(key: str) -> Identity | None:
    """Whose key this is; `None` if it is nobody's. No request for what was never a key, 1 for what is none now, 2
    reads and 1 write for one that works; 1 write more for the first use after the pepper was rotated.

    Boot keys (`AUTH_API_KEYS`) are compared first, each in constant time.
    """
    given = key.encode("utf-8", "surrogatepass")
    found: Identity | None = None
    for boot_key, owner in boot_keys().items():
        if hmac.compare_digest(boot_key.encode(), given):
            found = _boot_identity(owner)
    if found:
        return found
    form = _FORM.fullmatch(key)
    if form is None or not hmac.compare_digest(checksum(form[1]), form[3]):
        return None
    item = find_directory_entry(keys.directory_entry(form[2]))
    if item is None:
        return None
    entry = json.loads(item.doc)
    if not key_digests.fits(entry, key) or _is_over(entry["expires_at"]):
        return None
    store = TenantStore(entry["tenant_id"])
    maker = users.find(store, entry["user_id"])
    scopes = meant(entry["scopes"])
    if maker is not None:
        if not maker.is_active:
            return None
        scopes = common(scopes, users.rights(maker))
    _note_use(store, entry["id"])
    if (doc := key_digests.renewed(entry, key)) is not None:
        # Under the version that was read: of many requests one writes it, and none brings back a key that was revoked.
        store.note(Change(keys.directory_entry(form[2]), doc=doc, when=item.version))
    return Identity(
        tenant_id=entry["tenant_id"],
        user_id=entry["user_id"],
        scopes=scopes,
        key_id=form[2],
        expires_at=entry["expires_at"],
        record_id=entry["id"],
        budgets=budgets_of_entry(item),
    )


def budgets_of_entry(entry: Item) -> tuple[Budget, ...]:
    """What a key in the directory draws on."""
    return tuple(budgets.of_text(json.loads(entry.doc).get("budgets", "")))


def token_key_id(identity: Identity, key: str) -> str:
    """How a token names the key that it was made from."""
    return _boot_name(key) if identity.key_id == _BOOT else identity.key_id


def is_boot_name(key_id: str) -> bool:
    """Whether a token was made from a boot key."""
    return key_id.startswith(f"{_BOOT}:")


def scopes_of_boot_key(key_id: str, tenant_id: str) -> frozenset[str] | None:
    """What the boot key that a token names may do now; `None` if it is gone. No request."""
    for key, owner in boot_keys().items():
        identity = _boot_identity(owner) if _boot_name(key) == key_id else None
        if identity is not None and identity.tenant_id == tenant_id:
            return identity.scopes
    return None


def scopes_of_entry(item: Item, tenant_id: str) -> frozenset[str] | None:
    """What the key behind a directory entry may do now; `None` if it is over, or another tenant's."""
    entry = json.loads(item.doc)
    over = entry["tenant_id"] != tenant_id or _is_over(entry["expires_at"])
    return None if over else meant(entry["scopes"])


def _boot_name(key: str) -> str:
    return f"{_BOOT}:{hashlib.sha256(key.encode()).hexdigest()[:16]}"


def _boot_identity(owner: dict[str, object]) -> Identity | None:
    tenant_id, scopes = owner.get("tenant_id"), owner.get("scopes", [])
    if not isinstance(tenant_id, str) or not _TENANT.fullmatch(tenant_id) or not isinstance(scopes, list):
        return None
    return Identity(
        tenant_id=tenant_id,
        user_id=str(owner.get("user_id", _BOOT)),
        scopes=meant(str(scope) for scope in scopes),
        key_id=_BOOT,
        expires_at=None,
    )


def _is_over(expires_at: str | None) -> bool:
    return expires_at is not None and expires_at <= clock.now()


def _note_use(store: TenantStore, api_key_id: str) -> None:
    """Keep when a key was used, at most once a minute; it fails nobody's request."""
    store.note(
        Change(
            keys.api_key(api_key_id),
            set_parts={"last_used_at": clock.now()},
            before={"last_used_at": clock.in_seconds(-_USE_NOTED_SECONDS)},
        )
    )
