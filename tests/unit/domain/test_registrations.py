"""Registration: a user with a tenant of their own, and names that are unique in the platform."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.conftest import Requests
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import WorkerDied
from tests.unit.support.people import PASSWORD, as_bearer, register, signed_up, tokens

pytestmark = pytest.mark.covers("POST /auth/register", "GET /auth/me")

Items = Callable[[], list[dict[str, Any]]]
KEY = {"Idempotency-Key": "k-1"}


def test_answer_is_document_2s(api: Api) -> None:
    answer = register(api, "ann", full_name="Ann Example")
    assert answer.status == 201
    user = answer.json
    assert user == {
        "id": user["id"],
        "email": "ann@example.com",
        "username": "ann",
        "full_name": "Ann Example",
        "is_active": True,
    }
    assert answer.headers["location"] == f"/users/{user['id']}"


def test_new_user_is_the_administrator_of_a_tenant_of_their_own(api: Api) -> None:
    ann, bob = signed_up(api, "ann", tenant_name="Acme"), signed_up(api, "bob")
    me = ann.get("/auth/me").json
    assert (me["username"], me["role"], me["scopes"], me["is_active"]) == ("ann", "admin", ["admin"], True)
    assert me["tenant_id"] != bob.get("/auth/me").json["tenant_id"]
    assert [user["username"] for user in ann.get("/users").json] == ["ann"]
    assert bob.make("/agents", name="x")
    assert ann.get("/agents").json == []


def test_password_is_nowhere(api: Api, items: Items, capsys: pytest.CaptureFixture[str]) -> None:
    assert register(api, "ann").status == 201
    answer = api.post("/auth/register", {"password": PASSWORD, "username": PASSWORD})
    assert (answer.status, PASSWORD in answer.text) == (422, False)
    signed_up(api, "bob", full_name="Bob")
    api.post("/auth/login", {"username": "ann", "password": PASSWORD}, headers=KEY)
    stored = json.dumps(items(), default=str)
    output = capsys.readouterr()
    assert PASSWORD not in stored + output.out + output.err
    assert "$2b$04$" in stored


def test_hash_is_in_no_document(api: Api, items: Items) -> None:
    register(api)
    assert not [item for item in items() if "$2b$" in item["doc"]["S"]]


@pytest.mark.parametrize(
    "again",
    [
        {"username": "ann", "email": "new@example.com"},
        {"username": "ANN", "email": "new@example.com"},
        {"username": "new", "email": "ann@example.com"},
        {"username": "new", "email": "Ann@Example.COM"},
        {"username": "ann", "email": "ann@example.com"},
    ],
)
def test_taken_name_is_refused_without_saying_which(api: Api, items: Items, again: dict[str, str]) -> None:
    register(api)
    before = items()
    answer = api.post("/auth/register", {"password": PASSWORD} | again)
    assert (answer.status, answer.code) == (409, "name_taken")
    assert answer.json["detail"] == "The user name or the e-mail address is taken."
    assert items() == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "ann"}, "email"),
        ({"email": "ann@example"}, "email"),
        ({"email": "a nn@example.com"}, "email"),
        ({"email": "ann@example.com\n"}, "email"),
        ({"email": f"{'a' * 250}@example.com"}, "email"),
        ({"username": ""}, "username"),
        ({"username": "a@b"}, "username"),
        ({"username": "ann "}, "username"),
        ({"username": "änn"}, "username"),
        ({"username": "a" * 65}, "username"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": None}, "password"),
        ({"full_name": ""}, "full_name"),
        ({"role": "admin"}, "role"),
        ({"tenant_id": "tenant_a"}, "tenant_id"),
        ({"is_active": False}, "is_active"),
    ],
)
def test_fields_that_are_refused(api: Api, items: Items, fields: dict[str, Any], field: str) -> None:
    answer = register(api, **fields)
    assert (answer.status, answer.json["errors"][0]["loc"][1]) == (422, field)
    assert items() == []


def test_own_tenant_and_invitation_exclude_each_other(api: Api) -> None:
    answer = register(api, tenant_name="x", invite_token="y")
    assert (answer.status, answer.code) == (422, "validation_error")


@pytest.mark.parametrize(
    "email", ["a@b.co", "a+b@mail.example.com", "x@xn--e1afmkfd.xn--p1ai", "o'neil@example.museum"]
)
def test_addresses_of_all_kinds(api: Api, email: str) -> None:
    assert register(api, email=email).json["email"] == email
    assert api.post("/auth/login", {"email": email, "password": PASSWORD}).status == 200


def test_idempotency_record_does_not_give_the_body_away(api: Api, items: Items) -> None:
    """Without the client's key nobody can tell a guessed password from another."""
    body = {"username": "ann", "password": PASSWORD}
    api.post("/auth/register", {"email": "ann@example.com"} | body, headers=KEY)
    api.post("/auth/login", body, headers=KEY)
    for text in (json.dumps(body), json.dumps({"email": "ann@example.com"} | body)):
        assert hashlib.sha256(text.encode()).hexdigest() not in json.dumps(items())


@pytest.mark.parametrize("password", ["pass word", "ü" * 128, "\x00 zero byte", "x" * 73 + "y", "ﬁne \ufb01 ligature"])
def test_passwords_of_all_kinds(api: Api, password: str) -> None:
    register(api, password=password)
    assert api.post("/auth/login", {"username": "ann", "password": password}).status == 200
    assert api.post("/auth/login", {"username": "ann", "password": password[:-1]}).status == 401


def test_registering_is_one_transaction(api: Api, requests: Requests) -> None:
    assert requests.of(lambda: register(api)) == ["TransactWriteItems", "UpdateItem"], "the second is the audit record"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", [1, 2])
def test_repeated_after_a_crash_it_has_one_effect(
    api: Api, faults: Faults, items: Items, travel: Callable[[float], None], number: int, moment: Moment
) -> None:
    draft = {"email": "ann@example.com", "username": "ann", "password": PASSWORD}
    faults.at(number, moment, die)
    with pytest.raises(WorkerDied):
        api.post("/auth/register", draft, headers=KEY)
    travel(36)
    answer = api.post("/auth/register", draft, headers=KEY)
    assert answer.status == 201
    users = [item for item in items() if item["pk"]["S"].endswith("#USER")]
    assert [item["sk"]["S"] for item in users] == [answer.json["id"]]
    assert as_bearer(api, tokens(api)["access_token"]).get("/auth/me").json["id"] == answer.json["id"]
