"""Signing in and out: login, the next tokens of a login, logout."""

import json
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from shared import clock
from shared.domain import login_attempts, passwords, refresh_families, tokens, users
from shared.domain.audit import Subject
from shared.domain.fields import Model, Record
from shared.domain.refresh_families import Token
from shared.domain.tokens import Holder
from shared.domain.users import User
from shared.errors import Conflict, Unauthorized
from shared.store import keys
from shared.store.table import Put, TenantStore, find_directory_entry


class Login(Model):
    """Name and password. `username` also takes an e-mail address."""

    username: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    email: Annotated[str, Field(min_length=1, max_length=254)] | None = None
    password: Annotated[SecretStr, Field(min_length=1, max_length=128)]

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if (self.username is None) == (self.email is None):
            raise ValueError("one of username and email is needed")
        return self


class RefreshToken(Model):
    """The newest refresh token of a login."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class LoggedIn(Record):
    """The tokens of a login. The refresh token is good for one use."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - a kind, not a secret
    expires_in: int
    refresh_token: str


def login(store: TenantStore, draft: Login, subject: Subject) -> LoggedIn:
    """Begin a login. Somebody and nobody, right and wrong take the same requests and the same time until the answer.

    Args:
        subject: hears who it is.

    Raises:
        Unauthorized: no such user, the wrong password, or a user who was deactivated; it does not say which.
        RateLimited: five logins under this name have failed in 15 minutes.
    """
    name = draft.username or draft.email or ""
    attempt = login_attempts.begin(store, users.login_digest(name))
    entry = find_directory_entry(keys.login(users.login_digest(name)))
    found = json.loads(entry.doc) if entry else {"tenant_id": store.tenant_id, "user_id": "nobody"}
    subject.is_known(found["tenant_id"], found["user_id"])
    item = store.into(found["tenant_id"]).get(keys.user(found["user_id"]))
    stored = users.password_hash(item) if item else None
    right = passwords.matches(draft.password.get_secret_value(), stored)
    user = users.read(item) if item else None
    if user is None or not right or not user.is_active:
        raise Unauthorized("The name or the password is wrong.", code="invalid_credentials")
    login_attempts.give_back(store, attempt)
    family_id, refresh_token = refresh_families.begin(store, user.tenant_id, user.id)
    return _tokens(user, family_id, refresh_token)


def refresh(store: TenantStore, given: RefreshToken, subject: Subject) -> LoggedIn:
    """The next tokens of a login, with the rights that the user has now; 2 reads and 1 write.

    Args:
        subject: hears who it is.

    Raises:
        Unauthorized: the token is not the newest of its login, or the user is gone; either ends the login.
        Conflict: another request with the same token was faster.
    """
    presented = refresh_families.present(store, given.refresh_token, subject)
    user = users.find(store.into(presented.tenant_id), presented.user_id)
    if user is None or not user.is_active:
        store.write(refresh_families.end(presented.family_id))
        raise refresh_families.refusal()
    return _tokens(user, presented.family_id, refresh_families.renew(store, presented))


def logout(store: TenantStore, user_id: str, token: Token | None, given: RefreshToken | None) -> None:
    """End a login and its access tokens within `AUTHORIZER_CACHE_SECONDS`; repeatable; 1 write.

    Args:
        token: what the caller came with; `None` for a key.
        given: names one more login of the same user to end; 1 read.

    Raises:
        Conflict: the caller came with a key.
    """
    if token is None:
        raise Conflict("A key does not log out; revoke it.", code="not_logged_in")
    denied = json.dumps({"denied_at": clock.now()})
    ended = {token.family_id} | ({refresh_families.owned(given.refresh_token, store, user_id)} if given else set())
    store.write(
        Put(keys.denied_token(token.id), denied, when=None, expires_at=token.expires_at),
        *(refresh_families.end(family_id) for family_id in sorted(ended - {""})),
    )


def _tokens(user: User, family_id: str, refresh_token: str) -> LoggedIn:
    token = tokens.issue(Holder(user.tenant_id, user.id, users.rights(user), family_id=family_id))
    return LoggedIn(access_token=token.token, expires_in=token.expires_in, refresh_token=refresh_token)
