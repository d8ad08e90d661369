"""The users of a tenant: roles, deactivation, and the administrator who must stay."""

from typing import Any

import pytest

from shared.domain.scopes import ROLES
from tests.unit.conftest import Requests
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.people import joined, signed_up

pytestmark = pytest.mark.covers("GET /users", "PATCH /users/{user_id}")


@pytest.fixture
def admin(api: Api) -> Api:
    """Ann, the administrator of a tenant of her own."""
    return signed_up(api)


def patch(api: Api, user_id: str, **fields: Any) -> Answer:
    return api.patch(f"/users/{user_id}", fields)


def roles(admin: Api) -> dict[str, tuple[str, bool]]:
    return {user["username"]: (user["role"], user["is_active"]) for user in admin.get("/users").json}


def test_list(admin: Api) -> None:
    bob = joined(admin, "bob", "developer")
    users = admin.get("/users").json
    assert [user["id"] for user in users] == [bob.user, admin.user]
    first = users[0]
    assert first == {
        "id": bob.user,
        "tenant_id": admin.tenant,
        "email": "bob@example.com",
        "username": "bob",
        "full_name": None,
        "role": "developer",
        "is_active": True,
        "version": 1,
        "created_at": first["created_at"],
        "updated_at": first["created_at"],
    }
    page = admin.get("/users?limit=1")
    assert [user["id"] for user in page.json] == [bob.user]
    following = admin.get(f"/users?limit=1&cursor={page.headers['x-next-cursor']}")
    assert [user["id"] for user in following.json] == [admin.user]


def test_tenants_do_not_see_each_others_users(api: Api, admin: Api) -> None:
    stranger = signed_up(api, "eve")
    assert [user["username"] for user in stranger.get("/users").json] == ["eve"]
    answer = patch(stranger, admin.user, is_active=False)
    assert (answer.status, answer.code) == (404, "not_found")
    assert patch(stranger, "nobody", is_active=False).json["detail"] == answer.json["detail"]
    assert roles(admin) == {"ann": ("admin", True)}


def test_change(admin: Api) -> None:
    bob = joined(admin, "bob", "user")
    changed = patch(admin, bob.user, role="developer", full_name="Bob Example").json
    assert (changed["role"], changed["full_name"], changed["version"]) == ("developer", "Bob Example", 2)
    assert patch(admin, bob.user, full_name=None).json["full_name"] is None
    assert patch(admin, bob.user, is_active=False).json["is_active"] is False
    assert admin.get("/users").json[0]["version"] == 4


def test_if_match(admin: Api) -> None:
    bob = joined(admin, "bob", "user")
    stale = admin.patch(f"/users/{bob.user}", {"role": "developer"}, headers={"If-Match": "7"})
    assert (stale.status, stale.code) == (409, "version_conflict")
    assert admin.patch(f"/users/{bob.user}", {"role": "developer"}, headers={"If-Match": "1"}).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "owner"},
        {"role": None},
        {"is_active": None},
        {"is_active": "perhaps"},
        {"full_name": ""},
        {"email": "new@example.com"},
        {"username": "new"},
        {"password": "new password"},
        {"tenant_id": "tenant_b"},
        {"id": "x"},
    ],
)
def test_fields_that_are_refused(admin: Api, fields: dict[str, Any]) -> None:
    bob = joined(admin, "bob", "user")
    before = admin.get("/users").json
    assert patch(admin, bob.user, **fields).status == 422
    assert admin.get("/users").json == before


def test_last_administrator_stays(admin: Api) -> None:
    for fields in ({"role": "user"}, {"role": "developer"}, {"is_active": False}):
        answer = patch(admin, admin.user, **fields)
        assert (answer.status, answer.code) == (409, "last_administrator")
    assert patch(admin, admin.user, full_name="Ann").status == 200
    bob = joined(admin, "bob", "admin")
    assert patch(admin, admin.user, role="user").status == 200
    assert patch(bob, bob.user, is_active=False).status == 409
    assert patch(bob, admin.user, role="admin").status == 200
    assert patch(admin, bob.user, is_active=False).status == 200
    assert patch(admin, admin.user, role="user").status == 409, "the other one is not active"
    assert roles(admin) == {"ann": ("admin", True), "bob": ("admin", False)}


def test_two_administrators_who_leave_at_once(admin: Api, faults: Faults) -> None:
    """One is demoted between what the other's demotion read and what it writes: one of them stays."""
    bob = joined(admin, "bob", "admin")
    seen: list[Answer] = []
    faults.at(0, "before", lambda: seen.append(patch(admin, bob.user, role="user")))
    later = patch(admin, admin.user, role="user")
    assert (seen[0].status, later.status, later.code) == (200, 409, "last_administrator")
    assert roles(admin) == {"ann": ("admin", True), "bob": ("user", True)}


def test_user_changed_meanwhile(admin: Api, faults: Faults) -> None:
    bob = joined(admin, "bob", "user")
    faults.at(0, "before", lambda: patch(admin, bob.user, full_name="Bob"))
    assert patch(admin, bob.user, role="developer").status == 200
    assert admin.get("/users").json[0]["full_name"] == "Bob", "nothing of the other change is lost"


def test_nobody_gives_or_takes_what_they_lack(admin: Api) -> None:
    bob, carol = joined(admin, "bob", "user"), joined(admin, "carol", "admin")
    clerk = admin.as_(scopes="users:read users:write")
    for user_id, fields in (
        (bob.user, {"role": "admin"}),
        (bob.user, {"role": "developer"}),
        (bob.user, {"full_name": "Bob"}),
        (carol.user, {"is_active": False}),
        (carol.user, {"role": "user"}),
    ):
        answer = patch(clerk, user_id, **fields)
        assert (answer.status, answer.code) == (403, "scope_not_held"), fields
    wider = clerk.as_(scopes=" ".join({"users:write", *ROLES["user"]}))
    assert patch(wider, bob.user, full_name="Bob").status == 200
    assert patch(wider, bob.user, role="developer").status == 403
    assert patch(wider, carol.user, is_active=False).status == 403


def test_roles_have_their_scopes(admin: Api) -> None:
    for role in ("admin", "developer", "user"):
        person = joined(admin, f"a-{role}", role)
        assert frozenset(person.scopes.split()) == ROLES[role]
        me = person.get("/auth/me").json
        assert (me["role"], frozenset(me["scopes"])) == (role, ROLES[role])


def test_what_it_costs(admin: Api, requests: Requests) -> None:
    bob = joined(admin, "bob", "user")
    assert requests.of(lambda: admin.get("/users")) == ["Query"]
    assert requests.of(lambda: patch(admin, bob.user, full_name="Bob")) == ["GetItem", "UpdateItem"]
    assert requests.of(lambda: patch(admin, bob.user, role="admin")) == ["GetItem", "GetItem", "TransactWriteItems"]
