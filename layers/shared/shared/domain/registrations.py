"""Registration: a new user, with a tenant of their own or in the one that an invitation names."""

import json
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from shared import clock
from shared.domain import invites, passwords, tenants, users
from shared.domain.audit import Subject
from shared.domain.fields import Model, Name
from shared.domain.users import Email, Profile, Role, User, Username
from shared.errors import ConditionFailed, NameTaken
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import TenantStore, Write, find_directory_entry

_ATTEMPTS = 5

Password = Annotated[SecretStr, Field(min_length=8, max_length=128)]


class Registration(Model):
    """A new user. Without an invitation they get a tenant of their own."""

    email: Email
    username: Username
    password: Password
    full_name: Name | None = None
    tenant_name: Name | None = None
    invite_token: Annotated[str, Field(max_length=200)] | None = None

    @model_validator(mode="after")
    def _one_tenant(self) -> Self:
        if self.tenant_name is not None and self.invite_token is not None:
            raise ValueError("tenant_name and invite_token exclude each other")
        return self


def register(store: TenantStore, draft: Registration, subject: Subject) -> Profile:
    """Make a user; 1 transaction, with 2 reads before it where somebody was invited, 3 for an administrator.

    Args:
        store: the visitor's; it knows the id that is reserved for the user.
        subject: hears who the user is.

    Raises:
        NameTaken: by somebody; it does not say which of the two names.
        Unprocessable: the invitation is not valid.
    """
    user_id = store.new_id()
    # Before anything is looked up: a taken name takes as long as a free one.
    password_hash = passwords.hashed(draft.password.get_secret_value())
    for _ in range(_ATTEMPTS):
        user, home, more = _place(store, user_id, draft)
        try:
            home.write(*users.new(home, user, password_hash, founds=draft.invite_token is None), *more)
        except ConditionFailed as error:
            if made := _made_before(store, user_id, user.username):
                subject.is_known(made.tenant_id, made.id)
                return Profile.model_validate(made.model_dump())
            if {1, 2}.intersection(error.failed):
                raise NameTaken("The user name or the e-mail address is taken.") from error
            # Administrators or the invitation changed meanwhile.
            continue
        subject.is_known(user.tenant_id, user.id)
        return Profile.model_validate(user.model_dump())
    raise NameTaken("Too many are joining at once; try again.")


def _place(store: TenantStore, user_id: str, draft: Registration) -> tuple[User, TenantStore, list[Write]]:
    """The user, the store of the tenant where they belong, and what else is written with them."""
    more: list[Write]
    role: Role
    if draft.invite_token is None:
        tenant_id, role = new_id(), "admin"
        more = tenants.new(tenant_id, draft.tenant_name or draft.username)
    else:
        tenant_id, role, redeemed = invites.redeem(draft.invite_token, user_id, draft.email)
        more = [redeemed]
    moment = clock.now()
    user = User(
        id=user_id,
        tenant_id=tenant_id,
        email=draft.email,
        username=draft.username,
        full_name=draft.full_name,
        role=role,
        is_active=True,
        version=1,
        created_at=moment,
        updated_at=moment,
    )
    return user, store.into(tenant_id), more


def _made_before(store: TenantStore, user_id: str, username: str) -> User | None:
    """The user that the first try of this request made, whose answer was lost."""
    entry = find_directory_entry(keys.login(users.login_digest(username)))
    if entry is None or (found := json.loads(entry.doc))["user_id"] != user_id:
        return None
    return users.find(store.into(found["tenant_id"]), user_id)
