"""Platform keys: made over the API, checked by the authorizer."""

import re
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared import clock
from shared.clients import aws
from shared.domain import api_keys
from shared.domain.scopes import MANAGEMENT, PLATFORM, ROLES, SCOPES
from tests.unit.conftest import Requests
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.keys import authorize
from tests.unit.support.people import joined, signed_up

pytestmark = pytest.mark.covers("POST /api-keys", "GET /api-keys", "DELETE /api-keys/{api_key_id}")

Items = Callable[[], list[dict[str, Any]]]
Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]


def make(api: Api, **fields: Any) -> Any:
    return api.make("/api-keys", **fields)


@pytest.mark.covers("POST /api-keys")
def test_key_is_shown_once(api: Api, items: Items) -> None:
    answer = api.post("/api-keys", {"name": "ci", "scopes": ["agents:read"]})
    assert answer.status == 201
    key = answer.json
    assert answer.headers["location"] == f"/api-keys/{key['id']}"
    assert answer.headers["cache-control"] == "no-store"
    shown = {
        "id": key["id"],
        "tenant_id": "tenant_a",
        "user_id": "user_1",
        "name": "ci",
        "key_prefix": key["key"][:12],
        "scopes": ["agents:read"],
        "is_active": True,
        "expires_at": None,
        "created_at": key["created_at"],
        "last_used_at": None,
        "revoked_at": None,
        "limits": {"tokens": None, "cost_usd": None},
    }
    assert key == shown | {"key": key["key"]}
    assert api.get("/api-keys").json == [shown]
    assert key["key"] not in str(items())
    assert key["key"].split("_")[3] not in str(items())


def test_form_of_a_key(api: Api) -> None:
    key = make(api)["key"]
    assert re.fullmatch(r"ap_dev_[0-9A-Za-z]{16}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}", key)
    body, _, checksum = key.rpartition("_")
    assert checksum == api_keys.base62(zlib.crc32(body.encode()), 6)


def test_keys_differ(api: Api) -> None:
    assert len({make(api)["key"] for _ in range(20)}) == 20


def test_environment_stands_in_the_key(api: Api, setting: Setting) -> None:
    setting("ENVIRONMENT", "prod")
    key = make(api)["key"]
    assert key.startswith("ap_prod_")
    assert authorize(key) is not None


def test_authorizer_lets_a_key_in(api: Api) -> None:
    key = make(api, scopes=["agents:read", "runs:execute"])["key"]
    answer = authorize(key)
    assert answer is not None
    said = answer.pop("context")
    assert answer == {
        "principalId": "user_1",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow",
                    "Resource": "arn:aws:execute-api:eu-central-1:1:api/live/*",
                }
            ],
        },
    }
    said.pop("limits")
    assert said == {
        "tenant_id": "tenant_a",
        "user_id": "user_1",
        "role": "user",
        "scopes": "agents:read runs:execute",
        "key_id": key.split("_")[2],
    }


@pytest.mark.parametrize("header", ["X-API-Key", "x-api-key", "X-Api-Key"])
def test_header_has_any_case(api: Api, header: str) -> None:
    assert authorize(make(api)["key"], header) is not None


@pytest.mark.parametrize("header", ["Authorization", "X-API-Keys", "Cookie"])
def test_other_headers_are_no_key(api: Api, header: str) -> None:
    assert authorize(make(api)["key"], header) is None


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        " ",
        "x",
        "ap_dev",
        "ap_dev_" + "a" * 16 + "_" + "b" * 32 + "_000000",
        "ap_dev_" + "a" * 10_000,
        "a" * 1_000_000,
        "ü" * 63,
        "ap_dev_\x00",
        "\ud800",
        "tenant_a",
        "' OR 1=1 --",
        "ap_DEV_" + "a" * 16 + "_" + "b" * 32 + "_000000",
    ],
)
def test_what_was_never_a_key_is_refused_without_a_read(api: Api, requests: Requests, hostile: str) -> None:
    assert requests.of(lambda: authorize(hostile)) == []
    assert authorize(hostile) is None


def test_no_header_at_all() -> None:
    assert authorize(None, headers={}) is None
    assert authorize(None, headers=None) is None


def test_typos_are_refused_without_a_read(api: Api, requests: Requests) -> None:
    key = make(api)["key"]
    for place, right in enumerate(key):
        wrong = key[:place] + ("x" if right != "x" else "y") + key[place + 1 :]
        assert requests.of(partial(authorize, wrong)) == []
        assert authorize(wrong) is None
    for wrong in (key[:-1], key + "x", key + "\n", " " + key, key.upper(), key.lower()):
        assert requests.of(partial(authorize, wrong)) == []


def test_key_that_is_not_in_the_table(api: Api) -> None:
    body = "ap_dev_" + "a" * 16 + "_" + "b" * 32
    assert authorize(f"{body}_{api_keys.checksum(body)}") is None


def test_key_under_another_pepper(api: Api, setting: Setting) -> None:
    key = make(api)["key"]
    setting("API_KEY_PEPPER", "another" * 5)
    assert authorize(key) is None


def test_no_key_without_a_pepper(api: Api, setting: Setting) -> None:
    setting("API_KEY_PEPPER", None)
    assert api.post("/api-keys", {}).status == 500
    assert api.get("/api-keys").json == []


def test_body_is_optional(api: Api) -> None:
    for answer in (api.post("/api-keys"), api.post("/api-keys", {}), api.post("/api-keys", raw="")):
        assert (answer.status, answer.json["name"]) == (201, "key")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": ["agents:delete"]}, "scopes"),
        ({"scopes": ["agents:read admin"]}, "scopes"),
        ({"scopes": "admin"}, "scopes"),
        ({"scopes": ["admin"] * 51}, "scopes"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2101-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"expires_at": "4102444800"}, "expires_at"),
        ({"key": "ap_dev_x"}, "key"),
        ({"tenant_id": "tenant_b"}, "tenant_id"),
        ({"user_id": "user_9"}, "user_id"),
    ],
)
def test_fields_that_are_refused(api: Api, fields: dict[str, Any], field: str) -> None:
    answer = api.post("/api-keys", fields)
    assert (answer.status, answer.json["errors"][0]["loc"][1]) == (422, field)
    assert api.get("/api-keys").json == []


def lacking(answer: Answer) -> bool:
    return (answer.status, answer.code) == (403, "scope_not_held")


def test_nobody_grants_what_they_lack(api: Api) -> None:
    maker = api.as_(scopes="api-keys:write agents:read")
    for scope in sorted(SCOPES - {"api-keys:write", "agents:read"}):
        assert lacking(maker.post("/api-keys", {"scopes": ["agents:read", scope]})), scope
    assert maker.post("/api-keys", {"scopes": ["agents:read", "api-keys:write"]}).status == 201


def test_admin_grants_everything_but_what_is_the_operators(api: Api) -> None:
    assert make(api, scopes=sorted(SCOPES - PLATFORM))["scopes"] == sorted(SCOPES - PLATFORM)
    for scope in PLATFORM:
        assert api.post("/api-keys", {"scopes": [scope]}).code == "scope_not_held"


def test_key_without_scopes_gets_its_makers_less_the_keys(api: Api) -> None:
    assert make(api.as_(scopes="api-keys:write agents:read"))["scopes"] == ["agents:read"]
    assert make(api)["scopes"] == sorted(SCOPES - {"admin"} - MANAGEMENT - PLATFORM)
    assert make(api, scopes=None)["scopes"] == make(api)["scopes"]


def test_key_with_no_scopes_may_nothing(api: Api) -> None:
    key = make(api, scopes=[])
    assert key["scopes"] == []
    answer = authorize(key["key"])
    assert answer is not None
    assert answer["context"]["scopes"] == ""


def test_expired_key_is_refused(api: Api, travel: Travel) -> None:
    key = make(api, expires_at=clock.in_seconds(3_600))["key"]
    travel(3_590)
    assert authorize(key) is not None
    travel(11)
    assert authorize(key) is None


def test_expiry_is_kept_in_utc(api: Api) -> None:
    assert make(api, expires_at="2101-01-01T02:00:00+02:00")["expires_at"] == "2101-01-01T00:00:00.000Z"


def test_revoked_key_is_refused_within_the_time_of_the_cache(api: Api, travel: Travel) -> None:
    key = make(api)
    assert authorize(key["key"]) is not None
    assert api.delete(f"/api-keys/{key['id']}").status == 204
    assert authorize(key["key"]) is not None, "remembered"
    travel(61)
    assert authorize(key["key"]) is None


@pytest.mark.covers("DELETE /api-keys/{api_key_id}")
def test_revoking(api: Api, travel: Travel) -> None:
    kept, ended = make(api), make(api)
    path = f"/api-keys/{ended['id']}"
    assert api.delete(path).status == 204
    assert [key["id"] for key in api.get("/api-keys").json] == [kept["id"]]
    shown = api.get("/api-keys?include_revoked=true").json
    assert [(key["id"], key["is_active"]) for key in shown] == [(ended["id"], False), (kept["id"], True)]
    travel(60)
    assert api.delete(path).status == 204
    assert api.get("/api-keys?include_revoked=true").json == shown, "the first moment stays"
    assert authorize(kept["key"]) is not None


@pytest.mark.parametrize("key_id", ["nobody", "01900000-0000-7000-8000-000000000000"])
def test_revoking_what_does_not_exist(api: Api, key_id: str) -> None:
    assert api.delete(f"/api-keys/{key_id}").status == 404


def test_keys_of_another_tenant_are_unknown(api: Api, other: Api) -> None:
    key = make(api)
    assert other.get("/api-keys?include_revoked=true").json == []
    assert other.delete(f"/api-keys/{key['id']}").status == 404
    assert authorize(key["key"]) is not None


@pytest.mark.covers("GET /api-keys")
def test_revoked_keys_are_passed_over_in_pages(api: Api) -> None:
    made = [make(api)["id"] for _ in range(9)]
    for n in (8, 7, 4, 1, 0):
        api.delete(f"/api-keys/{made[n]}")
    first = api.get("/api-keys?limit=3")
    assert [key["id"] for key in first.json] == [made[6], made[5], made[3]]
    second = api.get(f"/api-keys?limit=3&cursor={first.headers['x-next-cursor']}")
    assert [key["id"] for key in second.json] == [made[2]]
    assert "x-next-cursor" not in second.headers


def test_use_is_noted_at_most_once_a_minute(api: Api, travel: Travel, setting: Setting) -> None:
    setting("AUTHORIZER_CACHE_SECONDS", "0")
    key = make(api)

    def used() -> Any:
        return api.get("/api-keys").json[0]["last_used_at"]

    assert used() is None
    before = clock.now()
    authorize(key["key"])
    first = used()
    assert before <= first <= clock.now()
    travel(59)
    authorize(key["key"])
    assert used() == first
    travel(2)
    authorize(key["key"])
    assert used() > first


def test_use_of_a_remembered_key_is_not_noted(api: Api, requests: Requests) -> None:
    key = make(api)["key"]
    assert "UpdateItem" in requests.of(lambda: authorize(key))
    assert requests.of(lambda: authorize(key)) == []


@pytest.mark.parametrize("error", ["ThrottlingException", "InternalServerError", "AccessDeniedException"])
def test_note_that_cannot_be_written_fails_nobody(api: Api, monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    key = make(api)["key"]

    def fail(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": error}}, "UpdateItem")

    monkeypatch.setattr(aws.dynamodb(), "update_item", fail)
    assert authorize(key) is not None


def test_revoked_key_keeps_when_it_was_used(api: Api) -> None:
    key = make(api)
    authorize(key["key"])
    used = api.get("/api-keys").json[0]["last_used_at"]
    api.delete(f"/api-keys/{key['id']}")
    (shown,) = api.get("/api-keys?include_revoked=true").json
    assert (shown["last_used_at"], shown["is_active"]) == (used, False)
    assert used is not None


def test_expired_key_is_shown_as_not_active(api: Api, travel: Travel) -> None:
    make(api, expires_at=clock.in_seconds(30))
    assert api.get("/api-keys").json[0]["is_active"] is True
    travel(31)
    (shown,) = api.get("/api-keys").json
    assert (shown["is_active"], shown["revoked_at"]) == (False, None)


def test_key_of_a_user_follows_the_user(api: Api, travel: Travel) -> None:
    admin = signed_up(api)
    bob = joined(admin, "bob", "admin")
    key = make(bob, scopes=["admin"])["key"]
    assert authorize(key)["context"]["scopes"] == "admin"  # type: ignore[index]
    admin.patch(f"/users/{bob.user}", {"role": "user"})
    travel(61)
    assert frozenset(authorize(key)["context"]["scopes"].split()) == ROLES["user"]  # type: ignore[index]
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    travel(61)
    assert authorize(key) is None
