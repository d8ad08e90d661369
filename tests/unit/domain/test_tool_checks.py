"""POST /tools/{tool_ref}/validate: says what would go wrong, and touches nothing."""

import json
import socket
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import tool_checks
from shared.store import keys
from shared.store.table import Change, TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.covers("POST /tools/{tool_ref}/validate")


@pytest.fixture(autouse=True)
def nothing_resolves(monkeypatch: pytest.MonkeyPatch, server: ToolServer) -> None:
    def asked(*_: Any, **__: Any) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", asked)


def found(api: Api, tool: str = "lookup", **body: Any) -> list[tuple[str, str]]:
    """Place and type of each problem."""
    answer = api.post(f"/tools/{tool}/validate", body)
    assert answer.status == 200, answer.text
    problems = answer.json["problems"]
    assert answer.json["valid"] == (not problems)
    assert all(problem["msg"] for problem in problems)
    return [(".".join(problem["loc"]), problem["type"]) for problem in problems]


SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


def test_a_good_tool(api: Api, store: TenantStore, server: ToolServer, requests: Any) -> None:
    tool_id = runs.webhook(api, endpoint="https://tools.example/x/{id}", input_schema=SCHEMA)
    assert api.post(f"/tools/{tool_id}/validate").json == {"valid": True, "problems": []}
    assert found(api, tool_id, args={"id": 7}) == []
    draft = tool_checks.ToolCheck(args={"id": 7})
    assert requests.of(lambda: tool_checks.validate(store, tool_id, draft)) == ["GetItem"]
    assert server.requests == []
    assert api.get("/runs").json == []
    assert api.get("/tools/lookup").json["version"] == 1


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({}, "invalid_arguments"),
        ({"id": "x"}, "invalid_arguments"),
        ({"id": None}, "invalid_arguments"),
    ],
)
def test_arguments_that_do_not_fit(api: Api, args: dict[str, Any], problem: str) -> None:
    runs.webhook(api, input_schema=SCHEMA)
    assert found(api, args=args) == [("args", problem)]


def test_arguments_that_cannot_stand_where_they_go(api: Api) -> None:
    runs.webhook(
        api, endpoint="https://tools.example/{id}", input_schema={"properties": {"id": {}}, "required": ["id"]}
    )
    assert found(api, args={"id": "../x"}) == [("args", "invalid_arguments")]
    assert found(api, args={"id": "x"}) == []


def test_internal_tools(api: Api) -> None:
    runs.internal(api, "calculator")
    runs.internal(api, "teleport")
    assert found(api, "calculator") == []
    assert found(api, "calculator", args={"expr": "1"}) == [("args", "invalid_arguments")]
    assert found(api, "teleport", args={}) == [("name", "not_implemented")]


# As in AWS_FACTS: what a literal address may not be. Names are not resolved, so nothing is known of theirs.
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[::1]",
        "[fd00:ec2::254]", "[fe80::1]", "[::ffff:127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "224.0.0.1",
    ],
)  # fmt: skip
def test_addresses_that_are_denied(api: Api, host: str) -> None:
    runs.webhook(api, endpoint=f"http://{host}:8080/")
    assert found(api) == [("endpoint", "address_blocked")]


def test_private_hosts_are_the_operators_to_open(api: Api, setting: Callable[[str, str], None]) -> None:
    setting("TOOL_PRIVATE_HOSTS", "127.0.0.1:8080,169.254.169.254:80")
    runs.webhook(api, endpoint="http://127.0.0.1:8080/")
    runs.webhook(api, "metadata", endpoint="http://169.254.169.254/")
    assert found(api) == []
    assert found(api, "metadata") == [("endpoint", "address_blocked")]


def test_domains_that_a_binding_would_allow(api: Api) -> None:
    runs.webhook(api)
    assert found(api, allowed_domains=["TOOLS.example."]) == []
    assert found(api, allowed_domains=["other.example"]) == [("endpoint", "host_not_allowed")]


def test_secrets(api: Api, setting: Callable[[str, str], None]) -> None:
    setting("SECRET_SHOP", "s3cr3t")
    setting("AWS_SECRET_ACCESS_KEY", "of the platform")
    runs.webhook(api, auth_type="api_key")
    assert found(api) == [("secrets_ref", "secret_missing")]
    assert found(api, secrets_ref="SHOP") == []
    for reference in ("NONE", "AWS_SECRET_ACCESS_KEY"):
        assert found(api, secrets_ref=reference) == [("secrets_ref", "secret_missing")]
    assert "s3cr3t" not in api.post("/tools/lookup/validate", {"secrets_ref": "SHOP"}).text


def test_oauth2(api: Api, setting: Callable[[str, str], None]) -> None:
    setting("SECRET_SHOP", "s3cr3t")
    for url, problems in {
        "https://login.example/token": [],
        "http://login.example/token": ["token_refused"],
        "https://127.0.0.1/token": ["address_blocked"],
    }.items():
        config = {"token_url": url, "client_id": "shop"}
        name = url.replace("/", "_")
        runs.webhook(api, name, auth_type="oauth2", auth_config=config)
        expected = [("auth_config.token_url", problem) for problem in problems]
        assert found(api, name, secrets_ref="SHOP") == expected
    allowed = found(api, "https:__login.example_token", secrets_ref="SHOP", allowed_domains=["tools.example"])
    assert allowed == [("auth_config.token_url", "host_not_allowed")]


def test_a_tool_saved_under_older_rules(api: Api, store: TenantStore) -> None:
    tool = api.make("/tools", name="lookup", endpoint=runs.ENDPOINT)
    for change, problem in (
        ({"input_schema": {"type": "objekt"}}, ("input_schema", "invalid_schema")),
        ({"endpoint": "https://tools.example/{id}"}, ("argument_places", "invalid_places")),
        ({"endpoint": "gopher://tools.example/"}, ("endpoint", "url_invalid")),
    ):
        store.write(Change(keys.tool(tool["id"]), doc=json.dumps(tool | change)))
        assert problem in found(api, args={})


def test_everything_wrong_at_once(api: Api) -> None:
    runs.webhook(api, endpoint="http://10.0.0.1/", auth_type="api_key", input_schema=SCHEMA)
    assert found(api, args={}, allowed_domains=["tools.example"]) == [
        ("endpoint", "address_blocked"),
        ("endpoint", "host_not_allowed"),
        ("secrets_ref", "secret_missing"),
        ("args", "invalid_arguments"),
    ]


def test_foreign_and_unknown_tools(api: Api, other: Api) -> None:
    tool_id = runs.webhook(api)
    for ref in (tool_id, "lookup", "nobody"):
        assert other.post(f"/tools/{ref}/validate").status == 404
    assert api.as_(scopes="tools:read").post("/tools/lookup/validate").status == 403
    assert api.post("/tools/lookup/validate", {"endpoint": "x"}).status == 422
