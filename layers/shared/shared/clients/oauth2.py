"""Tokens by the OAuth 2.0 client credentials grant (RFC 6749, section 4.4), kept until shortly before they expire.

The token URL is written by a tenant like any tool's endpoint, so it is called through `shared.clients.http` and its
guards. Why not the client of Powertools: docs/decisions/0010-tools.md.
"""

import base64
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from shared.clients import http
from shared.clients.address import parse_url
from shared.memory import Memory

_MAX_ANSWER_BYTES = 65_536
_MARGIN_SECONDS = 30.0
_LONGEST_SECONDS = 24 * 3600.0
_BEARER_TOKEN = re.compile(r"[-A-Za-z0-9._~+/]{1,8000}=*")

_remembered: Memory[str] = Memory()


class TokenRefused(Exception):
    """The token server answered, but gave no bearer token.

    Attributes:
        passing: whether another try may help (429, 5xx).
    """

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True, slots=True)
class Grant:
    """Who asks for a token, where, and for what. No two owners share a token, whatever else is the same."""

    owner: tuple[str, ...]
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None

    @property
    def digest(self) -> str:
        """The key of its token."""
        parts = [*self.owner, self.token_url, self.client_id, self.client_secret, self.scope, self.audience]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token, and whether it is one that was kept: the tool may have ended it meanwhile."""

    value: str = field(repr=False)
    kept: bool


def token(
    grant: Grant, *, timeout_ms: int, allowed_hosts: frozenset[str], private_hosts: frozenset[str] = frozenset()
) -> Token:
    """A token for this grant; no request while one is kept, else 1.

    Args:
        allowed_hosts, private_hosts: see `http.send`. Only a private host may be asked without TLS.

    Raises:
        http.HttpError: there is no answer.
        TokenRefused: there is no token in it.
    """
    known = _remembered.get(grant.digest)
    if known is not None:
        return Token(known, kept=True)
    asked_at = time.monotonic()
    target = parse_url(grant.token_url)
    if target.scheme != "https" and target.host_port not in private_hosts:
        raise TokenRefused("the token URL must be https")
    form = {"grant_type": "client_credentials"}
    form |= {"scope": grant.scope} if grant.scope else {}
    form |= {"audience": grant.audience} if grant.audience else {}
    credentials = f"{quote_plus(grant.client_id)}:{quote_plus(grant.client_secret)}"
    answer = http.send(
        "POST",
        grant.token_url,
        headers={
            "Authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}",
            "Accept": "application/json",
        },
        form=form,
        timeout_ms=timeout_ms,
        max_bytes=_MAX_ANSWER_BYTES,
        allowed_hosts=allowed_hosts,
        private_hosts=private_hosts,
    )
    value, seconds = _read(answer)
    if seconds > _MARGIN_SECONDS:
        _remembered.keep(grant.digest, value, asked_at + seconds - _MARGIN_SECONDS)
    return Token(value, kept=False)


def forget(grant: Grant) -> None:
    """Drop the token of a grant: the tool does not take it any more."""
    _remembered.drop(grant.digest)


def _read(answer: http.HttpAnswer) -> tuple[str, float]:
    """The token and the seconds that it lives; 0 if the server does not say. Nothing of the answer is quoted."""
    if answer.status != 200:
        passing = answer.status == 429 or answer.status >= 500
        raise TokenRefused(f"the token server answered {answer.status}", passing=passing)
    try:
        said: Any = json.loads(answer.body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise TokenRefused("the token server did not answer with a JSON object")
    value, kind = said.get("access_token"), said.get("token_type", "bearer")
    if not isinstance(value, str) or not _BEARER_TOKEN.fullmatch(value):
        raise TokenRefused("the token server gave no token that can be sent")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefused("the token server gave a token that is no bearer token")
    return value, _lifetime(said.get("expires_in"))


def _lifetime(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not said > 0:
        return 0.0
    return float(min(said, _LONGEST_SECONDS))
