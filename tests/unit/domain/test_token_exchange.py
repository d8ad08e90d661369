"""A key for a token: in document 1's form, and in OAuth 2.0's."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from shared import clock
from shared.domain.scopes import MANAGEMENT, PLATFORM, ROLES, SCOPES
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.people import joined, said, signed_up

pytestmark = pytest.mark.covers("POST /auth/token", "GET /auth/test-token")

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]
FORM = {"content-type": "application/x-www-form-urlencoded"}
GRANT = {"grant_type": "client_credentials"}


@pytest.fixture
def key(api: Api) -> Any:
    return api.make("/api-keys", scopes=["agents:read", "tools:read"])


def ask(api: Api, body: Any = None, **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.post("/auth/token", headers=sent) if body is None else api.post("/auth/token", body, headers=sent)


def form(api: Api, fields: Any, **headers: str) -> Answer:
    text = fields if isinstance(fields, str) else urlencode(fields)
    return api.post("/auth/token", raw=text, headers=FORM | headers)


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{quote(client_id)}:{quote(secret)}".encode()).decode()


def check(answer: Answer, scopes: set[str]) -> dict[str, Any]:
    assert answer.status == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json
    assert body.keys() == {"token", "access_token", "token_type", "expires_in"}
    assert (body["token"], body["token_type"], body["expires_in"]) == (body["access_token"], "bearer", 1_800)
    context = said(body["token"])
    assert context is not None
    assert set(context["scopes"].split()) == scopes
    return context


def test_all_ways_to_ask(api: Api, key: Any) -> None:
    secret, both = key["key"], {"agents:read", "tools:read"}
    client = {"client_id": key["id"], "client_secret": secret}
    for answer in (
        ask(api, X_API_Key=secret),
        ask(api, {"api_key": secret}),
        ask(api, {"api_key": "nobody"}, X_API_Key=secret),
        ask(api, GRANT | client),
        form(api, GRANT | client),
        form(api, GRANT | client | {"client_id": secret.split("_")[2]}),
        form(api, GRANT, Authorization=basic(key["id"], secret)),
        ask(api, Authorization=basic(key["id"], secret)),
        api.post("/auth/token", raw=json.dumps({"api_key": secret}), headers=FORM),
    ):
        context = check(answer, both)
        assert (context["tenant_id"], context["user_id"], context["family_id"]) == ("tenant_a", "user_1", "")


def test_scopes_can_be_narrowed(api: Api, key: Any) -> None:
    check(ask(api, {"api_key": key["key"], "scopes": ["tools:read"]}), {"tools:read"})
    check(ask(api, {"api_key": key["key"], "scopes": []}), set())
    client = {"client_id": key["id"], "client_secret": key["key"]}
    check(form(api, GRANT | client | {"scope": "tools:read  agents:read"}), {"tools:read", "agents:read"})
    check(form(api, GRANT | client | {"scope": ""}), set())


def test_scopes_cannot_be_widened(api: Api, key: Any) -> None:
    for scope in sorted(SCOPES - {"agents:read", "tools:read"}):
        refused = ask(api, {"api_key": key["key"], "scopes": ["tools:read", scope]})
        assert (refused.status, refused.code) == (403, "scope_not_held"), scope
    client = {"client_id": key["id"], "client_secret": key["key"]}
    assert form(api, GRANT | client | {"scope": "admin"}).status == 403
    assert form(api, GRANT | client | {"scope": "root"}).code == "invalid_scope"
    assert ask(api, {"api_key": key["key"], "scopes": ["root"]}).status == 422


def test_without_scopes_management_is_left_out(api: Api) -> None:
    admin = api.make("/api-keys", scopes=["admin"])["key"]
    check(ask(api, X_API_Key=admin), set(SCOPES - {"admin"} - MANAGEMENT - PLATFORM))
    check(ask(api, {"api_key": admin, "scopes": ["admin"]}), {"admin"})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 401, "invalid_client"),
        ({"api_key": ""}, 401, "invalid_client"),
        ({"api_key": "nobody"}, 401, "invalid_client"),
        ({"api_key": "\x00"}, 401, "invalid_client"),
        ({"api_key": "x" * 201}, 422, "validation_error"),
        ({"api_key": 1}, 422, "validation_error"),
        ({"key": "x"}, 422, "validation_error"),
        (GRANT, 401, "invalid_client"),
        (GRANT | {"client_id": "x"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "unsupported_grant_type"),
    ],
)
def test_refused(api: Api, key: Any, body: Any, status: int, code: str) -> None:
    answer = ask(api, body)
    assert (answer.status, answer.code) == (status, code)


def test_client_id_and_secret_belong_together(api: Api, key: Any) -> None:
    other = api.make("/api-keys")
    for client_id in (other["id"], "", "boot", key["key"]):
        assert form(api, GRANT | {"client_id": client_id, "client_secret": key["key"]}).status == 401
        assert ask(api, Authorization=basic(client_id, key["key"])).status == 401


@pytest.mark.parametrize("text", ["", "Basic", "Basic !", "Basic eA==", "Basic /w==", "Bearer x", "x" * 10_000])
def test_other_authorization_headers_are_nobodys(api: Api, text: str) -> None:
    assert ask(api, Authorization=text).status == 401


@pytest.mark.parametrize(
    "text",
    ["grant_type", "a=1&a=2", "&".join(f"f{n}=1" for n in range(21)), "a=%ff", "=&=", "\ufffd=1"],
)
def test_forms_that_are_none(api: Api, text: str) -> None:
    answer = form(api, text)
    assert answer.status in {400, 422}
    assert "invalid_form" in answer.text or answer.code in {"validation_error", "invalid_json"}


def test_other_routes_take_no_form(api: Api) -> None:
    for path in ("/auth/login", "/auth/register", "/auth/refresh", "/agents"):
        answer = api.post(path, raw="username=ann&password=secret12", headers=FORM)
        assert (answer.status, answer.code) == (400, "unsupported_content_type")


def test_token_dies_with_its_key(api: Api, key: Any, travel: Travel) -> None:
    token = ask(api, X_API_Key=key["key"]).json["token"]
    assert said(token) is not None
    api.delete(f"/api-keys/{key['id']}")
    assert ask(api, X_API_Key=key["key"]).status == 401
    travel(61)
    assert said(token) is None


def test_token_never_outlives_its_key(api: Api, travel: Travel) -> None:
    key = api.make("/api-keys", expires_at=clock.in_seconds(100))["key"]
    answer = ask(api, X_API_Key=key).json
    assert 95 <= answer["expires_in"] <= 100
    assert said(answer["token"]) is not None
    travel(101)
    assert said(answer["token"]) is None
    assert ask(api, X_API_Key=key).status == 401


def test_token_of_a_users_key_follows_the_user(api: Api, travel: Travel) -> None:
    admin = signed_up(api)
    bob = joined(admin, "bob", "admin")
    key = bob.make("/api-keys", scopes=["admin"])["key"]
    token = ask(api, {"api_key": key, "scopes": ["admin"]}).json["token"]
    admin.patch(f"/users/{bob.user}", {"role": "user"})
    travel(61)
    assert frozenset(said(token)["scopes"].split()) == ROLES["user"]  # type: ignore[index]
    admin.patch(f"/users/{bob.user}", {"is_active": False})
    travel(61)
    assert said(token) is None
    assert ask(api, X_API_Key=key).status == 401


def test_token_of_a_boot_key(api: Api, setting: Setting, travel: Travel) -> None:
    owner = {"tenant_id": "tenant_a", "user_id": "alice", "scopes": ["agents:read"]}
    setting("AUTH_API_KEYS", json.dumps({"boot key": owner}))
    token = ask(api, X_API_Key="boot key").json["token"]
    context = said(token)
    assert context is not None
    assert (context["user_id"], context["scopes"]) == ("alice", "agents:read")
    setting("AUTH_API_KEYS", json.dumps({"boot key": owner | {"scopes": []}}))
    assert said(token)["scopes"] == ""  # type: ignore[index]
    gone: list[dict[str, Any]] = [{}, {"another": owner}, {"boot key": owner | {"tenant_id": "b"}}, {"boot key": {}}]
    for boot_keys in gone:
        setting("AUTH_API_KEYS", json.dumps(boot_keys))
        assert said(token) is None, boot_keys


def test_test_token_only_where_it_is_allowed(api: Api, setting: Setting) -> None:
    assert api.get("/auth/test-token").status == 404
    setting("ALLOW_TEST_TOKENS", "true")
    answer = api.get("/auth/test-token")
    context = check(answer, set(ROLES["developer"]))
    assert context["tenant_id"] == context["user_id"] == "00000000-0000-0000-0000-000000000001"
    setting("ALLOW_TEST_TOKENS", "false")
    assert said(answer.json["token"]) is None


def test_legacy_scopes(api: Api, setting: Setting) -> None:
    """Document 1's `tools:write` alone stands for a developer's scopes, but only where that is switched on."""
    for scopes in (["tools:write"], ["tools:read", "tools:write"]):
        setting("LEGACY_SCOPES", None)
        key = api.make("/api-keys", scopes=scopes)["key"]
        token = ask(api, {"api_key": key, "scopes": scopes}).json["token"]
        assert set(said(token)["scopes"].split()) == set(scopes)  # type: ignore[index]
        setting("LEGACY_SCOPES", "true")
        assert set(said(token)["scopes"].split()) == ROLES["developer"]  # type: ignore[index]
        check(ask(api, {"api_key": key, "scopes": ["tools:write"]}), set(ROLES["developer"]))


def test_legacy_scopes_widen_nobody(api: Api, setting: Setting) -> None:
    setting("LEGACY_SCOPES", "true")
    maker = api.as_(scopes="api-keys:write tools:write agents:read")
    assert maker.post("/api-keys", {"scopes": ["tools:write"]}).code == "scope_not_held"
    assert maker.post("/api-keys", {"scopes": ["tools:write", "agents:read"]}).status == 201
