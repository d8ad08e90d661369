"""A key for a token: `POST /auth/token` in document 1's form and in OAuth 2.0's (RFC 6749, section 4.4)."""

from typing import Annotated

from pydantic import Field

from shared.config import settings
from shared.domain import api_keys, grants, tokens
from shared.domain.api_keys import Scope
from shared.domain.audit import Subject
from shared.domain.fields import Model
from shared.domain.scopes import ROLES, SCOPES
from shared.domain.tokens import AccessToken, Holder
from shared.errors import BadRequest, NotFound, Unauthorized, Unprocessable

# Document 1 names these in its sample of a token.
_TEST_ID = "00000000-0000-0000-0000-000000000001"
TEST_KEY_ID = "test"

_Text = Annotated[str, Field(max_length=200)]


class TokenRequest(Model):
    """A key, or an OAuth 2.0 request whose client is a key: its id and the key itself as the secret.

    Without scopes the token gets the key's, less the management of keys and users.
    """

    api_key: _Text | None = None
    scopes: Annotated[list[Scope], Field(max_length=50)] | None = None
    grant_type: _Text | None = None
    client_id: _Text | None = None
    client_secret: _Text | None = None
    scope: Annotated[str, Field(max_length=1_000)] | None = None


def exchange(
    request: TokenRequest, header_key: str | None, basic: tuple[str, str] | None, subject: Subject
) -> AccessToken:
    """A token that may do what the key may, or less.

    Args:
        header_key: the header `X-API-Key`, which goes before all others. basic: client id and secret.
        subject: hears whose key it is.

    Raises:
        BadRequest: another grant than the client's own credentials.
        Unauthorized: no key, or none that holds; or it is not the client's.
        Forbidden: a scope is asked for that the key lacks.
        Unprocessable: a scope that does not exist.
    """
    if request.grant_type not in (None, "client_credentials"):
        raise BadRequest("The grant_type must be client_credentials.", code="unsupported_grant_type")
    client_id, secret = basic or (request.client_id, request.client_secret)
    key = header_key or request.api_key or secret
    identity = api_keys.identify(key) if key and len(key) <= 200 else None
    if identity is not None:
        subject.is_known(identity.tenant_id, identity.user_id, identity.key_id)
    if identity is None or client_id not in (None, identity.key_id, identity.record_id):
        raise Unauthorized("A valid API key is required.", code="invalid_client")
    scopes = grants.narrowed(identity.scopes, _wanted(request))
    holder = Holder(
        tenant_id=identity.tenant_id,
        user_id=identity.user_id,
        scopes=scopes,
        key_id=api_keys.token_key_id(identity, key or ""),
        expires_at=identity.expires_at,
    )
    return tokens.issue(holder)


def test_token() -> AccessToken:
    """A developer's token for the test tenant.

    Raises:
        NotFound: this deployment gives none.
    """
    if not settings().allow_test_tokens:
        raise NotFound("There are no test tokens here.")
    return tokens.issue(Holder(_TEST_ID, _TEST_ID, ROLES["developer"], key_id=TEST_KEY_ID))


def scopes_of_test_key(tenant_id: str) -> frozenset[str] | None:
    """What a test token may do now; `None` where there are none."""
    return ROLES["developer"] if settings().allow_test_tokens and tenant_id == _TEST_ID else None


def _wanted(request: TokenRequest) -> list[str] | None:
    if request.scope is None:
        return request.scopes
    wanted = request.scope.split()
    if unknown := sorted(set(wanted) - SCOPES):
        problem = {"loc": ["body", "scope"], "msg": f"unknown scope {unknown[0][:50]}", "type": "unknown_scope"}
        raise Unprocessable("The scope is not known.", code="invalid_scope", errors=[problem])
    return wanted
