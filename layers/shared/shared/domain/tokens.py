"""Access tokens: short-lived JWTs that say who calls. What they say is checked against the table in `identities`."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from shared import clock
from shared.config import settings
from shared.domain import signing
from shared.domain.fields import Inner, Record
from shared.domain.scopes import role_of
from shared.store.ids import new_id

# Clocks of two environments may differ by this much.
_SKEW_SECONDS = 5

Moment = Annotated[int, Field(ge=0, lt=2**53)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_-]{1,128}$")]


class Claims(Inner):
    """What a token says; types are taken at their word, so `"1"` and `true` are no numbers."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    iss: str
    aud: str
    sub: Annotated[str, Field(min_length=1, max_length=200)]
    tenant_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    scopes: list[str]
    role: str
    exp: Moment
    iat: Moment
    jti: Id
    nbf: Moment | None = None
    sid: Id | None = None
    key_id: Id | None = None


class AccessToken(Record):
    """A token as it is shown once. `token` is document 1's name for it, the others are OAuth 2.0's."""

    token: str
    access_token: str
    token_type: str = "bearer"  # noqa: S105 - a kind, not a secret
    expires_in: int


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token speaks for.

    Attributes:
        family_id: the login that it belongs to. key_id: the key that it was made from. One of the two is set.
        expires_at: when the key ends, if it does.
    """

    tenant_id: str
    user_id: str
    scopes: Iterable[str]
    family_id: str | None = None
    key_id: str | None = None
    expires_at: str | None = None


def issue(holder: Holder) -> AccessToken:
    """A new token; it never outlives the key that it was made from."""
    now = int(time.time())
    lifetime = settings().access_token_seconds
    if holder.expires_at:
        lifetime = max(0, min(lifetime, int(clock.seconds_until(holder.expires_at))))
    scopes = sorted(holder.scopes)
    claims = {
        "iss": settings().jwt_issuer,
        "aud": settings().jwt_audience,
        "sub": holder.user_id,
        "tenant_id": holder.tenant_id,
        "scopes": scopes,
        "role": role_of(scopes),
        "exp": now + lifetime,
        "iat": now,
        "jti": new_id(),
    }
    of = {"sid": holder.family_id, "key_id": holder.key_id}
    token = signing.sign(claims | {name: value for name, value in of.items() if value is not None})
    return AccessToken(token=token, access_token=token, expires_in=lifetime)


def verify(token: str) -> Claims | None:
    """What a token says, if we said it and it holds now; `None` otherwise. No request."""
    payload = signing.opened(token)
    if payload is None:
        return None
    try:
        claims = Claims.model_validate(payload)
    except ValidationError:
        return None
    now = time.time()
    ours = (claims.iss, claims.aud) == (settings().jwt_issuer, settings().jwt_audience)
    begun = max(claims.iat, claims.nbf or 0) <= now + _SKEW_SECONDS
    return claims if ours and begun and now < claims.exp else None
