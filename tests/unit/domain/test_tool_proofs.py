"""How tools of auth type `oauth2` and `service` are told who calls, and what never leaves the platform."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
import pytest

from shared.clients import http, oauth2, service_tokens
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.usefixtures("machine")
CONFIG = {"token_url": "https://login.example/token", "client_id": "the shop"}
SECRET = "s3cr3t/of the+shop"


@pytest.fixture(autouse=True)
def secrets(setting: Callable[[str, str], None]) -> Iterator[None]:
    setting("SECRET_SHOP", SECRET)
    setting("SECRET_OTHER", "another")
    setting("JWT_SECRET", "the platform's own" * 3)
    oauth2._remembered.clear()
    yield
    oauth2._remembered.clear()


def oauth2_tool(api: Api, **fields: Any) -> str:
    return runs.webhook(api, **({"auth_type": "oauth2", "auth_config": CONFIG} | fields))


def tokens(server: ToolServer, *values: str, **answer: Any) -> None:
    """The token server gives these, in turn; whatever else is asked for gets `{"ok": true}` and the headers."""
    left = list(values)

    def handle(request: httpx.Request) -> httpx.Response:
        server.requests.append(request)
        if request.url.host != "login.example":
            return httpx.Response(200, json=dict(request.headers))
        return httpx.Response(200, json={"access_token": left.pop(0), "token_type": "Bearer"} | answer)

    server.handle = handle  # type: ignore[method-assign]


def execute(api: Api, tool: str = "lookup", **body: Any) -> Any:
    return api.make(f"/tools/{tool}/execute", **({"secrets_ref": "SHOP"} | body))


def hosts(server: ToolServer) -> list[str]:
    return [request.url.host for request in server.requests]


def test_a_token_is_asked_for_and_sent(api: Api, server: ToolServer) -> None:
    oauth2_tool(api, auth_config=CONFIG | {"scope": "read write", "audience": "https://tools.example"})
    tokens(server, "t0ken.1")
    run = execute(api)
    assert run["status"] == "succeeded"
    asked, called = server.requests
    assert (asked.method, str(asked.url)) == ("POST", "https://login.example/token")
    assert parse_qs(asked.content.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "audience": ["https://tools.example"],
    }
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    name, _, secret = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    assert (name, secret) == ("the+shop", "s3cr3t%2Fof+the%2Bshop")
    assert called.headers["authorization"] == "Bearer t0ken.1"
    assert "idempotency-key" not in asked.headers


def test_neither_secret_nor_token_is_ever_shown(api: Api, server: ToolServer) -> None:
    oauth2_tool(api)
    tokens(server, "t0ken.1")
    run = execute(api)
    told = json.dumps([run, runs.events(api, run["id"]), api.get(f"/runs/{run['id']}?include=messages").json])
    assert "t0ken.1" not in told
    assert "s3cr3t" not in told
    assert "Bearer [secret]" in told


def test_a_token_is_kept_until_shortly_before_it_expires(
    api: Api, server: ToolServer, travel: Callable[[float], None]
) -> None:
    oauth2_tool(api)
    tokens(server, "first", "second", expires_in=300)
    for _ in range(3):
        execute(api)
    assert hosts(server) == ["login.example"] + ["tools.example"] * 3
    travel(265)
    execute(api)
    travel(10)
    execute(api)
    assert hosts(server)[4:] == ["tools.example", "login.example", "tools.example"]
    assert server.requests[-1].headers["authorization"] == "Bearer second"


@pytest.mark.parametrize("expires_in", [None, 0, -5, 30, "300", True, float("1e400"), [], {}])
def test_a_token_without_a_useful_lifetime_is_used_once(api: Api, server: ToolServer, expires_in: Any) -> None:
    """Infinity is a lifetime: a day is as long as any is kept."""
    oauth2_tool(api)
    kept = expires_in == float("inf")

    def token() -> httpx.Response:
        body = json.dumps({"access_token": "t", "token_type": "bearer", "expires_in": expires_in})
        return httpx.Response(200, content=body)

    for _ in range(1 if kept else 2):
        server.then(token()).then(httpx.Response(200))
    if kept:
        server.then(httpx.Response(200))
    for _ in range(2):
        assert execute(api)["status"] == "succeeded"
    assert hosts(server).count("login.example") == (1 if kept else 2)


def test_no_two_askers_share_a_token(api: Api, other: Api, server: ToolServer) -> None:
    """Tenant, tool, client, scope and secret each make another grant."""
    oauth2_tool(api)
    oauth2_tool(api, name="same config")
    oauth2_tool(api, name="scope", auth_config=CONFIG | {"scope": "read"})
    oauth2_tool(other)
    tokens(server, *"12345", expires_in=300)
    execute(api)
    execute(api, "same config")
    execute(api, "scope")
    execute(api, secrets_ref="OTHER")
    execute(other)
    sent = [request.headers["authorization"] for request in server.requests if request.url.host == "tools.example"]
    assert sent == [f"Bearer {number}" for number in "12345"]


def test_tools_of_one_configuration_change_with_it(api: Api, server: ToolServer) -> None:
    oauth2_tool(api)
    tokens(server, "old", "new", expires_in=300)
    execute(api)
    api.patch("/tools/lookup", {"auth_config": CONFIG | {"token_url": "https://login.example/v2"}})
    execute(api)
    assert server.requests[-1].headers["authorization"] == "Bearer new"


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_kept_token_that_the_tool_refuses_is_dropped(api: Api, server: ToolServer, idempotent: bool) -> None:
    """The call is made again only if it may be; in any case the next one has a new token."""
    oauth2_tool(api, idempotent=idempotent)
    good = httpx.Response(200, json={"ok": True})
    for reply in (_token("t1"), good, httpx.Response(401), *((_token("t2"), good) if idempotent else ())):
        server.then(reply)
    assert execute(api)["status"] == "succeeded"
    second = execute(api)
    assert second["status"] == ("succeeded" if idempotent else "failed")
    if not idempotent:
        assert second["error_message"].startswith("http_401")
        server.then(_token("t2")).then(good)
    assert execute(api)["status"] == "succeeded"
    assert server.requests[-1].headers["authorization"] == "Bearer t2"
    assert hosts(server).count("login.example") == 2


def test_a_fresh_token_that_the_tool_refuses_is_not_tried_again(api: Api, server: ToolServer) -> None:
    oauth2_tool(api, idempotent=True)
    server.then(_token("t1")).then(httpx.Response(401, text="no t1 here"))
    run = execute(api)
    assert run["error_message"] == "http_401: The tool answered 401: no [secret] here"


def _token(value: str) -> httpx.Response:
    return httpx.Response(200, json={"access_token": value, "token_type": "bearer", "expires_in": 300})


HOSTILE = [
    (httpx.Response(400, text=f"bad secret {SECRET}"), "token_refused"),
    (httpx.Response(401), "token_refused"),
    (httpx.Response(201, json={"access_token": "t"}), "token_refused"),
    (httpx.Response(200), "token_refused"),
    (httpx.Response(200, text="<html>"), "token_refused"),
    (httpx.Response(200, text="[" * 5_000), "token_refused"),
    (httpx.Response(200, json=["t"]), "token_refused"),
    (httpx.Response(200, json={}), "token_refused"),
    (httpx.Response(200, json={"access_token": 7}), "token_refused"),
    (httpx.Response(200, json={"access_token": ""}), "token_refused"),
    (httpx.Response(200, json={"access_token": "a\r\nX-Admin: 1"}), "token_refused"),
    (httpx.Response(200, json={"access_token": "a b"}), "token_refused"),
    (httpx.Response(200, json={"access_token": "x" * 9_000}), "token_refused"),
    (httpx.Response(200, json={"access_token": "t", "token_type": "mac"}), "token_refused"),
    (httpx.Response(200, json={"access_token": "t", "token_type": None}), "token_refused"),
    (httpx.Response(200, content=b"x" * 70_000), "answer_too_large"),
    (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), "redirect_refused"),
    (http.HttpTimeout("x", sent=True), "timeout"),
    (http.AddressBlocked("x"), "address_blocked"),
    (http.ProtocolFailed("x", sent=True), "protocol_error"),
]


@pytest.mark.parametrize(("reply", "code"), HOSTILE, ids=range(len(HOSTILE)))
def test_token_servers_that_misbehave(api: Api, server: ToolServer, reply: Any, code: str) -> None:
    """The call fails, the tool is not called, and nothing of the answer is quoted."""
    oauth2_tool(api, idempotent=True)
    server.then(reply)
    run = execute(api)
    assert (run["status"], run["error_message"].partition(":")[0]) == ("failed", code)
    assert hosts(server) == ["login.example"]
    assert "s3cr3t" not in json.dumps(runs.events(api, run["id"]))


def test_a_token_server_that_is_busy_is_asked_again(api: Api, server: ToolServer) -> None:
    oauth2_tool(api)
    server.then(httpx.Response(503)).then(http.ConnectFailed("x")).then(_token("t")).then(httpx.Response(200))
    assert execute(api)["status"] == "succeeded"
    for _ in range(3):
        server.then(httpx.Response(429))
    assert execute(api, secrets_ref="OTHER")["error_message"].startswith("token_refused: ")


@pytest.mark.parametrize(
    ("config", "body", "code"),
    [
        ({"token_url": "http://login.example/"}, {}, "token_refused"),
        ({}, {"allowed_domains": ["tools.example"]}, "host_not_allowed"),
        ({}, {"allowed_domains": ["login.example"]}, "host_not_allowed"),
        ({}, {"secrets_ref": None}, "secret_missing"),
        ({}, {"secrets_ref": "NOBODY"}, "secret_missing"),
    ],
)
def test_where_the_client_secret_goes(
    api: Api, server: ToolServer, config: dict[str, Any], body: dict[str, Any], code: str
) -> None:
    """Over TLS only, and to no domain that the binding does not name."""
    oauth2_tool(api, auth_config=CONFIG | config)
    assert execute(api, **body)["error_message"].partition(":")[0] == code
    assert server.requests == []


def test_a_private_token_server_is_the_operators_to_open(
    api: Api, server: ToolServer, setting: Callable[[str, str], None]
) -> None:
    setting("TOOL_PRIVATE_HOSTS", "login:8080")
    oauth2_tool(api, auth_config=CONFIG | {"token_url": "http://login:8080/token"})
    server.then(_token("t")).then(httpx.Response(200))
    assert execute(api, allowed_domains=["login", "tools.example"])["status"] == "succeeded"


def test_a_thousand_tokens_are_remembered_and_no_more(api: Api, server: ToolServer) -> None:
    for number in range(1_005):
        server.then(_token(f"t{number}"))
        grant = oauth2.Grant((str(number),), "https://login.example/", "c", "s")
        oauth2.token(grant, timeout_ms=60_000, allowed_hosts=frozenset({"login.example"}))
    assert len(oauth2._remembered) == 1_000


def test_grants_and_tokens_are_not_printed() -> None:
    grant = oauth2.Grant(("t",), "https://login.example/", "c", "s3cr3t")
    assert "s3cr3t" not in repr(grant) + repr(oauth2.Token("s3cr3t", kept=True))


def claims_of(request: httpx.Request, key: str | None, audience: str = "tools.example") -> dict[str, Any]:
    """What the token of a request says to somebody who checks it as a tool should."""
    token = request.headers["authorization"].removeprefix("Bearer ")
    required = ["iss", "aud", "exp", "iat", "jti"]
    found: dict[str, Any] = jwt.decode(
        token, key or "", ["HS256"], audience=audience, issuer="agent-platform", options={"require": required}
    )
    return found


def test_a_service_is_told_who_calls(api: Api, server: ToolServer, model: ScriptedModel) -> None:
    agent_id = runs.agent(api, runs.webhook(api, auth_type="service"))
    model.asks(call("lookup", {}, id="c1"), call("lookup", {}, id="c2")).says("done")
    run = runs.start(api)
    assert [called["status"] for called in run["tools_called"]] == ["succeeded"] * 2
    first, second = (
        claims_of(request, service_tokens.key_of("tenant_a", "tools.example")) for request in server.requests
    )
    assert first == {
        "iss": "agent-platform",
        "aud": "tools.example",
        "tenant_id": "tenant_a",
        "agent_id": agent_id,
        "run_id": run["id"],
        "tool_call_id": "c1",
        "iat": first["iat"],
        "exp": first["iat"] + 60,
        "jti": first["jti"],
    }
    assert second["tool_call_id"] == "c2"
    assert second["jti"] != first["jti"]


def test_a_direct_call_of_a_service_names_no_agent(api: Api, server: ToolServer) -> None:
    runs.webhook(api, auth_type="service", endpoint="https://TOOLS.example.:8443/x")
    server.then(lambda request: httpx.Response(200, json=dict(request.headers)))
    run = execute(api, secrets_ref=None)
    claims = claims_of(server.requests[0], service_tokens.key_of("tenant_a", "tools.example"))
    assert "agent_id" not in claims
    assert (claims["run_id"], claims["tool_call_id"]) == (run["id"], "call_1")
    assert "Bearer [secret]" in run["output_message"]


def test_the_key_of_a_service_opens_nothing_else(api: Api, server: ToolServer) -> None:
    """Neither another tenant's tools, nor another host, nor the platform itself."""
    runs.webhook(api, auth_type="service")
    execute(api)
    (request,) = server.requests
    for tenant, host in (("tenant_b", "tools.example"), ("tenant_a", "other.example"), ("tenant_a", "")):
        with pytest.raises(jwt.InvalidSignatureError):
            claims_of(request, service_tokens.key_of(tenant, host))
    with pytest.raises(jwt.InvalidSignatureError):
        claims_of(request, "the platform's own" * 3)
    with pytest.raises(jwt.InvalidAudienceError):
        claims_of(request, service_tokens.key_of("tenant_a", "tools.example"), "agent-platform")


def test_the_key_is_what_the_documentation_says() -> None:
    """docs/tools.md has the command for it: printf 'service tools:...' | openssl dgst -sha256 -hmac ..."""
    import hashlib
    import hmac

    root = ("the platform's own" * 3).encode()
    expected = hmac.new(root, b"service tools:tenant_a:tools.example", hashlib.sha256).hexdigest()
    assert service_tokens.key_of("tenant_a", "tools.example") == expected


def test_without_a_secret_nothing_is_signed(
    api: Api, server: ToolServer, setting: Callable[[str, str | None], None]
) -> None:
    setting("JWT_SECRET", None)
    runs.webhook(api, auth_type="service")
    assert execute(api)["error_message"].startswith("secret_missing: ")
    assert server.requests == []
