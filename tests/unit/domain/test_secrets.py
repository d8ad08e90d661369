"""Secrets of tools: sent where they belong, shown nowhere, and out of reach where they are the platform's."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.clients import secrets
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.server import ToolServer
from tests.unit.support.vault import Vault

pytestmark = pytest.mark.usefixtures("machine")
SECRET = 's3cr3t "value"'
Setting = Callable[[str, str | None], None]


def run_with_secret(api: Api, model: ScriptedModel, reference: str | None, **tool: Any) -> dict[str, Any]:
    """A run with one call of a tool that needs a key; the event that ended the call."""
    tool_id = runs.webhook(api, **({"auth_type": "api_key"} | tool))
    runs.agent(api)
    assert api.post(f"/agents/support/tools/{tool_id}", {"secrets_ref": reference}).status == 201
    model.asks(call("lookup", {}, id="c1")).says("done")
    events = runs.events(api, runs.start(api)["id"])
    (ended,) = runs.named(events, "tool.completed") + runs.named(events, "tool.error")
    return ended


def test_key_is_sent_as_a_bearer_token(api: Api, model: ScriptedModel, server: ToolServer, setting: Setting) -> None:
    setting("SECRET_TEA_SHOP", SECRET)
    run_with_secret(api, model, "TEA_SHOP")
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_key_is_sent_in_the_header_named(api: Api, model: ScriptedModel, server: ToolServer, setting: Setting) -> None:
    setting("SECRET_TEA_SHOP", SECRET)
    run_with_secret(api, model, "SECRET_TEA_SHOP", auth_config={"header": "X-Shop-Key"})
    assert server.requests[0].headers["x-shop-key"] == SECRET
    assert "authorization" not in server.requests[0].headers


def test_tool_without_auth_gets_no_key(api: Api, model: ScriptedModel, server: ToolServer, setting: Setting) -> None:
    setting("SECRET_TEA_SHOP", SECRET)
    run_with_secret(api, model, "TEA_SHOP", auth_type="none")
    assert SECRET not in str(server.requests[0].headers)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("form", ["text", "json"])
def test_key_that_the_server_echoes_is_taken_out(
    api: Api,
    model: ScriptedModel,
    server: ToolServer,
    setting: Setting,
    items: Callable[[], list[dict[str, Any]]],
    status: int,
    form: str,
) -> None:
    setting("SECRET_TEA_SHOP", SECRET)

    def echo(request: httpx.Request) -> httpx.Response:
        sent = request.headers["authorization"]
        return httpx.Response(status, json={"sent": sent}) if form == "json" else httpx.Response(status, text=sent)

    server.then(echo)
    ended = run_with_secret(api, model, "TEA_SHOP")
    assert "[secret]" in str(ended)
    for place in (model.requests, items(), api.get("/runs").text):
        assert "s3cr3t" not in str(place)


@pytest.mark.parametrize("reference", [None, "UNKNOWN", "SECRET_UNKNOWN", "EMPTY"])
def test_missing_key_is_an_error_and_nothing_is_sent(
    api: Api, model: ScriptedModel, server: ToolServer, setting: Setting, reference: str | None
) -> None:
    setting("SECRET_EMPTY", "")
    assert run_with_secret(api, model, reference)["code"] == "secret_missing"
    assert server.requests == []


def test_settings_of_the_platform_are_out_of_reach(api: Api, model: ScriptedModel, server: ToolServer) -> None:
    references = ["AWS_SECRET_ACCESS_KEY", "API_KEY_PEPPER", "OPENAI_API_KEY", "PATH", "TABLE_NAME"]
    runs.agent(api)
    for reference in references:
        tool_id = runs.webhook(api, reference, auth_type="api_key")
        assert api.post(f"/agents/support/tools/{tool_id}", {"secrets_ref": reference}).status == 201
    model.asks(*(call(reference, {}, id=reference) for reference in references)).says("done")
    ended = runs.named(runs.events(api, runs.start(api)["id"]), "tool.error")
    assert {data["tool_call_id"]: data["code"] for data in ended} == dict.fromkeys(references, "secret_missing")
    assert server.requests == []


def test_bare_name_is_readable_if_the_operator_lists_it(
    api: Api, model: ScriptedModel, server: ToolServer, setting: Setting
) -> None:
    setting("TEA_SHOP", SECRET)
    assert run_with_secret(api, model, "TEA_SHOP")["code"] == "secret_missing"
    setting("TOOL_SECRETS", "OTHER, TEA_SHOP")
    model.requests.clear()
    model.asks(call("lookup", {}, id="c1")).says("done")
    assert runs.start(api)["tools_called"][0]["status"] == "succeeded"
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"


def test_key_of_the_vault(
    api: Api, model: ScriptedModel, server: ToolServer, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting("TOOL_SECRET_VALUES_SECRET", "arn:tools")
    vault = Vault("arn:tools", json.dumps({"TEA_SHOP": SECRET})).opened(monkeypatch)
    assert run_with_secret(api, model, "SECRET_TEA_SHOP")["tool_call_id"] == "c1"
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert vault.asked == ["AWSCURRENT", "AWSPREVIOUS"]


def test_settings_go_before_the_vault(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    setting("SECRET_TEA_SHOP", SECRET)
    setting("TOOL_SECRET_VALUES_SECRET", "arn:tools")
    vault = Vault("arn:tools", "{}").opened(monkeypatch)
    assert secrets.tool_secret("TEA_SHOP") == SECRET
    assert vault.asked == []


def test_new_value_of_the_vault_counts_within_five_minutes(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, travel: Callable[[float], None]
) -> None:
    setting("TOOL_SECRET_VALUES_SECRET", "arn:tools")
    vault = Vault("arn:tools", "{}").opened(monkeypatch)
    assert secrets.tool_secret("TEA_SHOP") is None
    vault.rotate(json.dumps({"TEA_SHOP": SECRET}))
    travel(301)
    assert secrets.tool_secret("TEA_SHOP") == SECRET


@pytest.mark.parametrize("stored", ["", "no JSON: s3cr3t", "[]", "null", '{"TEA_SHOP": 7}', '{"TEA_SHOP": {"a": "b"}}'])
def test_vault_that_holds_something_else(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stored: str
) -> None:
    setting("TOOL_SECRET_VALUES_SECRET", "arn:tools")
    Vault("arn:tools", stored).opened(monkeypatch)
    assert secrets.tool_secret("TEA_SHOP") is None
    assert "s3cr3t" not in capsys.readouterr().out


@pytest.mark.parametrize("value", ["line\nbreak", "nul\0", "ümlaut"])
def test_key_that_no_header_can_carry_is_not_quoted(
    api: Api, model: ScriptedModel, server: ToolServer, setting: Setting, value: str
) -> None:
    if "\0" in value:
        value = value.replace("\0", "\x7f")  # an environment variable cannot hold NUL
    setting("SECRET_TEA_SHOP", value)
    ended = run_with_secret(api, model, "TEA_SHOP")
    assert ended["code"] == "request_invalid"
    assert value not in str(ended)
