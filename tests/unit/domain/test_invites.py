"""Invitations: shown once, good for one, within seven days."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.scopes import ROLES
from tests.unit.conftest import Requests
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.people import joined, register, signed_up

pytestmark = pytest.mark.covers("POST /users/invite", "POST /auth/register")

Items = Callable[[], list[dict[str, Any]]]
Travel = Callable[[float], None]
DAY = 24 * 3600


@pytest.fixture
def admin(api: Api) -> Api:
    return signed_up(api)


def token(admin: Api, **fields: Any) -> str:
    return str(admin.make("/users/invite", **fields)["invite_token"])


def refused(answer: Answer) -> bool:
    return (answer.status, answer.code) == (422, "invalid_invite")


def test_answer(admin: Api, items: Items) -> None:
    answer = admin.post("/users/invite", {"email": "bob@example.com", "role": "developer"})
    assert (answer.status, answer.headers["cache-control"]) == (201, "no-store")
    invite = answer.json
    assert invite.keys() == {"id", "email", "role", "invite_token", "created_at", "expires_at"}
    assert (invite["email"], invite["role"]) == ("bob@example.com", "developer")
    assert invite["invite_token"].partition(".")[2] not in json.dumps(items())
    assert admin.post("/users/invite").json["role"] == "user", "the least, if nothing is said"


def test_joining(admin: Api) -> None:
    answer = register(admin, "bob", invite_token=token(admin, role="developer"))
    assert answer.status == 201
    assert [(user["username"], user["role"]) for user in admin.get("/users").json] == [
        ("bob", "developer"),
        ("ann", "admin"),
    ]


def test_good_for_one(admin: Api) -> None:
    invite = token(admin)
    assert register(admin, "bob", invite_token=invite).status == 201
    assert refused(register(admin, "carol", invite_token=invite))


def test_two_at_once(admin: Api, faults: Faults) -> None:
    invite = token(admin)
    seen: list[Answer] = []
    faults.at(0, "before", lambda: seen.append(register(admin, "carol", invite_token=invite)))
    assert refused(register(admin, "bob", invite_token=invite))
    assert seen[0].status == 201


def test_name_that_is_taken_uses_nothing_up(admin: Api) -> None:
    invite = token(admin)
    assert register(admin, "ann", invite_token=invite).code == "name_taken"
    assert register(admin, "bob", invite_token=invite).status == 201


def test_good_for_seven_days(admin: Api, travel: Travel, items: Items) -> None:
    invite = token(admin)
    travel(7 * DAY - 5)
    other = token(admin)
    travel(10)
    assert refused(register(admin, "bob", invite_token=invite))
    assert register(admin, "bob", invite_token=other).status == 201
    assert all("expires_at" in item for item in items() if item["sk"]["S"] == "INVITE")


def test_address_must_be_the_one_invited(admin: Api) -> None:
    invite = token(admin, email="Bob@Example.com")
    assert refused(register(admin, "carol", invite_token=invite))
    assert register(admin, "bob", invite_token=invite).status == 201


@pytest.mark.parametrize(
    "text", ["", "x", ".", "01900000-0000-7000-8000-000000000000." + "a" * 43, "ü" * 80, "../x." + "a" * 43]
)
def test_tokens_of_nobody(admin: Api, items: Items, text: str) -> None:
    before = items()
    assert refused(register(admin, "bob", invite_token=text))
    assert items() == before


def test_secret_of_another_invitation(admin: Api) -> None:
    first, second = token(admin), token(admin)
    mixed = first.partition(".")[0] + "." + second.partition(".")[2]
    assert refused(register(admin, "bob", invite_token=mixed))


def test_nobody_invites_into_a_role_they_lack(admin: Api) -> None:
    clerk = admin.as_(scopes="users:write")
    for role in ROLES:
        answer = clerk.post("/users/invite", {"role": role})
        assert (answer.status, answer.code) == (403, "scope_not_held")
    wider = admin.as_(scopes=" ".join({"users:write", *ROLES["user"]}))
    assert wider.post("/users/invite", {"role": "user"}).status == 201
    assert wider.post("/users/invite", {"role": "admin"}).status == 403


def test_invitation_falls_with_the_one_who_invited(admin: Api) -> None:
    bob = joined(admin, "bob", "admin")
    as_admin, as_user = token(bob, role="admin"), token(bob, role="user")
    admin.patch(f"/users/{bob.user}", {"role": "user"})
    assert refused(register(admin, "carol", invite_token=as_admin))
    assert register(admin, "carol", invite_token=as_user).status == 201
    late = token(bob, role="user")
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    assert refused(register(admin, "dave", invite_token=late))


def test_invited_by_a_key_that_is_no_users(api: Api) -> None:
    """The first user of a tenant that began with boot keys."""
    invite = token(api, role="admin")
    person = signed_up(api, "zoe", invite_token=invite)
    assert (person.tenant, person.scopes) == ("tenant_a", "admin")
    assert api.patch(f"/users/{person.user}", {"role": "user"}).code == "last_administrator"


@pytest.mark.parametrize("fields", [{"role": "owner"}, {"email": "x"}, {"tenant_id": "tenant_b"}, {"role": None}])
def test_fields_that_are_refused(admin: Api, fields: dict[str, Any]) -> None:
    assert admin.post("/users/invite", fields).status == 422


def test_repeated_under_its_key_it_is_one_invitation(admin: Api, items: Items) -> None:
    key = {"Idempotency-Key": "k-1"}
    first, second = (admin.post("/users/invite", {}, headers=key).json for _ in range(2))
    assert second == first | {"invite_token": None}, "shown once"
    assert len([item for item in items() if item["sk"]["S"] == "INVITE"]) == 1


def test_administrators_who_join_at_once_are_both_there(admin: Api, faults: Faults) -> None:
    first, second = token(admin, role="admin"), token(admin, role="admin")
    faults.at(0, "before", lambda: register(admin, "carol", invite_token=second))
    assert register(admin, "bob", invite_token=first).status == 201
    for user in admin.get("/users").json[:2]:
        assert admin.patch(f"/users/{user['id']}", {"is_active": False}).status == 200
    assert admin.patch(f"/users/{admin.user}", {"is_active": False}).code == "last_administrator"


def test_what_it_costs(admin: Api, requests: Requests) -> None:
    assert requests.of(lambda: token(admin)) == ["PutItem", "UpdateItem"], "the second is the audit record"
    invite, as_admin = token(admin), token(admin, role="admin")
    join = ["GetItem", "GetItem", "TransactWriteItems", "UpdateItem"]
    assert requests.of(lambda: register(admin, "bob", invite_token=invite)) == join
    assert requests.of(lambda: register(admin, "carol", invite_token=as_admin)) == ["GetItem", *join]
