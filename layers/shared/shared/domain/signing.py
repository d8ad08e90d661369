"""Texts that only the platform can have signed: JSON Web Signatures (RFC 7515), as narrow as we use them.

One algorithm, one secret and, while it is rolled, the one before: a token is signed by the current secret and believed
under both. Header and payload are read more strictly than the standard asks (RFC 8725): no member twice, no header
that names a key or another way to read, no second spelling of the same bytes.
"""

import base64
import binascii
import re
from typing import Any

import jwt

from shared import json_text
from shared.clients import secrets
from shared.config import settings

MAX_LENGTH = 4_096
LEAST_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The algorithms, and how long a secret each wants (RFC 7518, section 3.2)."""

_PART = re.compile(r"[A-Za-z0-9_-]+")


def sign(payload: dict[str, Any]) -> str:
    """A token with this payload.

    Raises:
        RuntimeError: this deployment has no secret, or one that is too short, or names an unknown algorithm.
    """
    kid, key = next(iter(_ring().values().items()))
    return jwt.encode(payload, key, settings().jwt_algorithm, headers={"kid": kid})


def opened(token: str) -> dict[str, Any] | None:
    """The payload of a token that we signed; `None` for anything else, however it was made."""
    parts = token.split(".", 3) if len(token) <= MAX_LENGTH else []
    if len(parts) != 3 or not all(map(_is_canonical, parts)):
        return None
    header = _object(parts[0])
    if header is None or header.keys() != {"alg", "kid", "typ"} or not isinstance(header["kid"], str):
        return None
    algorithm = settings().jwt_algorithm
    key = _key(header["kid"])
    if key is None or header["alg"] != algorithm or header["typ"] != "JWT":
        return None
    try:
        jwt.PyJWS().decode(token, key, algorithms=[algorithm])
    except jwt.InvalidTokenError:
        return None
    return _object(parts[1])


def _is_canonical(part: str) -> bool:
    """Whether a part is base64url in the one spelling of its bytes: spare bits of the last letter are zero."""
    if not _PART.fullmatch(part):
        return False
    try:
        return base64.urlsafe_b64encode(_bytes(part)).rstrip(b"=") == part.encode()
    except binascii.Error:
        return False


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = json_text.parse(_bytes(part).decode(), unique=True)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _key(kid: str) -> bytes | None:
    return _ring().value(kid)


def _ring() -> secrets.Ring:
    """The secrets, each long enough; their fingerprints stand in `kid`.

    Raises:
        RuntimeError: as `sign`.
    """
    ring, algorithm = secrets.ring("JWT_SECRET"), settings().jwt_algorithm
    if algorithm not in LEAST_BYTES:
        raise RuntimeError(f"JWT_ALGORITHM must be one of {', '.join(LEAST_BYTES)}")
    values = ring.values().values()
    if not values:
        raise RuntimeError("JWT_SECRET is not set")
    if min(map(len, values)) < LEAST_BYTES[algorithm]:
        raise RuntimeError(f"JWT_SECRET must have at least {LEAST_BYTES[algorithm]} bytes for {algorithm}")
    return ring
