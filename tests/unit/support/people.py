"""Users: signing up, logging in, and what the authorizer says to their tokens."""

from typing import Any

from tests.unit.support.gateway import Answer, Api
from tests.unit.support.keys import authorize

PASSWORD = "correct horse battery"


def register(api: Api, name: str = "ann", **fields: Any) -> Answer:
    """Sign up as ``<name>`` with ``<name>@example.com``."""
    draft = {"email": f"{name}@example.com", "username": name, "password": PASSWORD}
    return api.post("/auth/register", draft | fields)


def login(api: Api, name: str = "ann", password: str = PASSWORD, **options: Any) -> Answer:
    return api.post("/auth/login", {"username": name, "password": password}, **options)


def tokens(api: Api, name: str = "ann") -> Any:
    """The tokens of a login that must succeed."""
    answer = login(api, name)
    assert answer.status == 200, answer.text
    return answer.json


def said(token: str) -> dict[str, Any] | None:
    """What the authorizer says of a token's bearer; `None` if it refuses."""
    answer = authorize(f"Bearer {token}", "Authorization")
    return answer["context"] if answer else None


def as_bearer(api: Api, token: str) -> Api:
    """The API as the authorizer lets a token's bearer in."""
    context = said(token)
    assert context is not None
    told = {"family_id": context["family_id"], "expires_at": context["expires_at"], "key_id": context["key_id"]}
    return api.as_(tenant=context["tenant_id"], user=context["user_id"], scopes=context["scopes"], token=told)


def signed_up(api: Api, name: str = "ann", **fields: Any) -> Api:
    """The API as a new user who has logged in."""
    answer = register(api, name, **fields)
    assert answer.status == 201, answer.text
    return as_bearer(api, tokens(api, name)["access_token"])


def joined(admin: Api, name: str, role: str) -> Api:
    """The API as a new user of the administrator's tenant."""
    invite = admin.make("/users/invite", role=role)
    return signed_up(admin, name, invite_token=invite["invite_token"])
