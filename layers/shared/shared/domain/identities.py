"""From a credential to who it stands for, remembered for `AUTHORIZER_CACHE_SECONDS`.

What a token says was true when it was made. It is held against what is true now: the login or the key that it was made
from, and the user's role. Nobody may do more than both allow.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from shared import clock
from shared.config import settings
from shared.domain import api_keys, refresh_families, token_exchange, tokens, users
from shared.domain.api_keys import Identity
from shared.domain.scopes import common, meant
from shared.domain.tokens import Claims
from shared.memory import Memory
from shared.store import keys
from shared.store.keys import DirectoryKey, Key
from shared.store.table import Item, TenantStore

_MAX_KEY_LENGTH = 200
_MAX_TOKEN_LENGTH = 4_096
_remembered: Memory[Identity] = Memory()


def of_key(key: str) -> Identity | None:
    """Who a key stands for; `None` for nobody. A key seen lately costs no request.

    Refusals are not remembered: a key made a moment ago must work.
    """
    return _resolve(key, api_keys.identify) if 0 < len(key) <= _MAX_KEY_LENGTH else None


def of_token(token: str) -> Identity | None:
    """Who a token stands for; `None` for nobody. A token seen lately costs no request, another one 1."""
    return _resolve(token, _identify) if 0 < len(token) <= _MAX_TOKEN_LENGTH else None


def _resolve(credential: str, identify: Callable[[str], Identity | None]) -> Identity | None:
    digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).hexdigest()
    known = _remembered.get(digest)
    if known is not None and not _is_over(known):
        return known
    identity = identify(credential)
    if identity is None:
        _remembered.drop(digest)
    else:
        _remembered.keep(digest, identity, time.monotonic() + settings().authorizer_cache_seconds)
    return identity


def _is_over(identity: Identity) -> bool:
    """Whether a credential has expired: that is exact, whatever is remembered."""
    return identity.expires_at is not None and identity.expires_at <= clock.now()


def _identify(token: str) -> Identity | None:
    """Who a token stands for now; 1 request."""
    claims = tokens.verify(token)
    if claims is None:
        return None
    denied, user = keys.denied_token(claims.jti), keys.user(claims.sub)
    family = keys.refresh_family(claims.sid or "")
    key = keys.directory_entry(claims.key_id or "")
    wanted: list[Key | DirectoryKey] = [
        denied,
        user,
        *([family] if claims.sid else []),
        *([key] if claims.key_id else []),
    ]
    found = TenantStore(claims.tenant_id).get_many(wanted)
    if denied in found:
        return None
    source = _of_key(claims, found.get(key)) if claims.key_id else _of_login(claims, found.get(family))
    scopes = common(meant(claims.scopes), source) if source is not None else None
    if scopes is not None and user in found:
        person = users.read(found[user])
        scopes = common(scopes, users.rights(person)) if person.is_active else None
    elif claims.key_id is None:
        scopes = None
    if scopes is None:
        return None
    return Identity(
        tenant_id=claims.tenant_id,
        user_id=claims.sub,
        scopes=scopes,
        key_id=claims.jti,
        expires_at=clock.iso(datetime.fromtimestamp(claims.exp, UTC)),
        family_id=claims.sid or "",
        budgets=api_keys.budgets_of_entry(found[key]) if key in found else (),
    )


def _of_login(claims: Claims, family: Item | None) -> frozenset[str] | None:
    """What a login allows: all that its user may; `None` if it has ended."""
    if family is None or not refresh_families.is_of(family, claims.tenant_id, claims.sub):
        return None
    return meant(claims.scopes)


def _of_key(claims: Claims, entry: Item | None) -> frozenset[str] | None:
    """What the key that a token was made from allows; `None` if it is gone."""
    key_id = claims.key_id or ""
    if key_id == token_exchange.TEST_KEY_ID:
        return token_exchange.scopes_of_test_key(claims.tenant_id)
    if api_keys.is_boot_name(key_id):
        return api_keys.scopes_of_boot_key(key_id, claims.tenant_id)
    return api_keys.scopes_of_entry(entry, claims.tenant_id) if entry else None
