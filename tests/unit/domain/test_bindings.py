"""Bindings over the API: a tool given to an agent."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api


@pytest.fixture
def pair(api: Api) -> tuple[str, str]:
    """The ids of an agent and a tool that are not bound."""
    return runs.agent(api), runs.internal(api)


@pytest.mark.covers("POST /agents/{agent_ref}/tools/{tool_ref}", "GET /agents/{agent_ref}/tools/{tool_ref}")
def test_bind_with_defaults(api: Api, pair: tuple[str, str]) -> None:
    agent_id, tool_id = pair
    answer = api.post("/agents/support/tools/echo")
    assert answer.status == 201
    binding = answer.json
    assert answer.headers["location"] == f"/agents/{agent_id}/tools/{tool_id}"
    assert binding == {
        "id": binding["id"],
        "tenant_id": "tenant_a",
        "agent_id": agent_id,
        "tool_id": tool_id,
        "permission_scope": "read",
        "timeout_ms": 15_000,
        "rate_limit": None,
        "allowed_domains": [],
        "secrets_ref": None,
        "created_at": binding["created_at"],
        "updated_at": binding["created_at"],
    }
    for path in (answer.headers["location"], "/agents/support/tools/echo", f"/agents/{agent_id}/tools/echo"):
        assert api.get(path).json == binding
    assert api.get("/agents/support/tools").json == [binding]


@pytest.mark.covers("POST /agents/{agent_ref}/tools/{tool_ref}")
def test_binding_again_replaces(api: Api, pair: tuple[str, str]) -> None:
    given = {
        "permission_scope": "write",
        "timeout_ms": 60_000,
        "rate_limit": "10/minute",
        "allowed_domains": ["a.example"],
        "secrets_ref": "TEA",
    }
    first = api.post("/agents/support/tools/echo", given)
    assert first.json == first.json | given
    again = api.post("/agents/support/tools/echo", {"timeout_ms": 1})
    assert (first.status, again.status) == (201, 200)
    defaults: dict[str, Any] = {
        "permission_scope": "read",
        "rate_limit": None,
        "allowed_domains": [],
        "secrets_ref": None,
    }
    assert again.json == first.json | defaults | {"timeout_ms": 1, "updated_at": again.json["updated_at"]}
    assert api.get("/agents/support/tools").json == [again.json]


def test_binding_does_not_change_the_agent(api: Api, pair: tuple[str, str]) -> None:
    before = api.get("/agents/support").json
    api.post("/agents/support/tools/echo")
    assert api.get("/agents/support").json == before


def test_change_of_the_agent_keeps_its_bindings(api: Api, pair: tuple[str, str]) -> None:
    api.post("/agents/support/tools/echo")
    api.patch("/agents/support", {"name": "desk"})
    assert len(api.get("/agents/desk/tools").json) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"permission_scope": "admin"}, "permission_scope"),
        ({"timeout_ms": 0}, "timeout_ms"),
        ({"timeout_ms": 60_001}, "timeout_ms"),
        ({"timeout_ms": "soon"}, "timeout_ms"),
        ({"rate_limit": "10"}, "rate_limit"),
        ({"rate_limit": "0/minute"}, "rate_limit"),
        ({"rate_limit": "10/year"}, "rate_limit"),
        ({"rate_limit": "10/minute\n"}, "rate_limit"),
        ({"allowed_domains": [""]}, "allowed_domains"),
        ({"allowed_domains": ["https://a.example"]}, "allowed_domains"),
        ({"allowed_domains": ["a.example/x"]}, "allowed_domains"),
        ({"allowed_domains": ["a.example:443"]}, "allowed_domains"),
        ({"allowed_domains": ["*.example"]}, "allowed_domains"),
        ({"allowed_domains": ["127.1"]}, "allowed_domains"),
        ({"allowed_domains": ["a b"]}, "allowed_domains"),
        ({"allowed_domains": ["a.example"] * 11}, "allowed_domains"),
        ({"secrets_ref": ""}, "secrets_ref"),
        ({"secrets_ref": "a-b"}, "secrets_ref"),
        ({"secrets_ref": "x" * 65}, "secrets_ref"),
        ({"secrets_ref": "A\nB"}, "secrets_ref"),
        ({"tool_id": "x"}, "tool_id"),
    ],
)
def test_fields_that_are_refused(api: Api, pair: tuple[str, str], fields: dict[str, Any], field: str) -> None:
    answer = api.post("/agents/support/tools/echo", fields)
    assert (answer.status, answer.json["errors"][0]["loc"][1]) == (422, field)
    assert api.get("/agents/support/tools").json == []


def test_hosts_are_kept_in_one_spelling(api: Api, pair: tuple[str, str]) -> None:
    given = ["Tools.Example.", "bücher.example", "10.0.0.1", "::1"]
    bound = api.post("/agents/support/tools/echo", {"allowed_domains": given}).json
    assert bound["allowed_domains"] == ["tools.example", "xn--bcher-kva.example", "10.0.0.1", "::1"]


def test_write_needs_the_scope_of_tools(api: Api, pair: tuple[str, str]) -> None:
    editor = api.as_(scopes="agents:write agents:read")
    refused = editor.post("/agents/support/tools/echo", {"permission_scope": "write"})
    assert (refused.status, refused.code) == (403, "scope_missing")
    assert editor.post("/agents/support/tools/echo", {"permission_scope": "read"}).status == 201
    writer = api.as_(scopes="agents:write tools:write")
    assert writer.post("/agents/support/tools/echo", {"permission_scope": "write"}).status == 200


@pytest.mark.parametrize("path", ["/agents/nobody/tools/echo", "/agents/support/tools/nothing"])
def test_unknown_agent_or_tool(api: Api, pair: tuple[str, str], path: str) -> None:
    for method in ("POST", "GET", "DELETE"):
        assert api.call(method, path).status == 404


def test_nothing_of_another_tenant_can_be_bound(api: Api, other: Api, pair: tuple[str, str]) -> None:
    agent_id, tool_id = pair
    their_agent, their_tool = runs.agent(other), runs.internal(other)
    assert api.post(f"/agents/{agent_id}/tools/{their_tool}").status == 404
    assert api.post(f"/agents/{their_agent}/tools/{tool_id}").status == 404
    assert other.get(f"/agents/{agent_id}/tools/{tool_id}").status == 404
    assert api.get(f"/agents/{agent_id}/tools").json == []


@pytest.mark.covers("GET /agents/{agent_ref}/tools")
def test_bindings_are_listed_oldest_first(api: Api) -> None:
    runs.agent(api)
    made = [api.post(f"/agents/support/tools/{runs.webhook(api, f't{n}')}").json["id"] for n in range(5)]
    assert [binding["id"] for binding in api.get("/agents/support/tools").json] == made


@pytest.mark.covers("DELETE /agents/{agent_ref}/tools/{tool_ref}")
def test_unbind(api: Api, pair: tuple[str, str]) -> None:
    api.post("/agents/support/tools/echo")
    assert api.delete("/agents/support/tools/echo").status == 204
    assert api.get("/agents/support/tools").json == []
    assert api.get("/agents/support/tools/echo").status == 404
    assert api.delete("/agents/support/tools/echo").status == 404


def test_binding_of_a_deleted_tool_can_be_taken_away(api: Api, pair: tuple[str, str]) -> None:
    _, tool_id = pair
    api.post("/agents/support/tools/echo")
    api.delete("/tools/echo?force=true")
    assert api.get(f"/agents/support/tools/{tool_id}").status == 200
    assert api.delete(f"/agents/support/tools/{tool_id}").status == 204
    assert api.get("/agents/support/tools").json == []


def test_forty_tools_are_the_most(api: Api, store: TenantStore, faults: Faults) -> None:
    """Also if another request takes the last place between the look and the write."""
    tool_ids = runs.copies(store, api.make("/tools", name="echo"), 41)
    runs.agent(api, *tool_ids[:39])
    faults.at(0, "before", lambda: api.post(f"/agents/support/tools/{tool_ids[39]}"))
    for _ in range(2):
        full = api.post(f"/agents/support/tools/{tool_ids[40]}")
        assert (full.status, full.json["detail"]) == (409, "An agent has at most 40 tools.")
    assert api.post(f"/agents/support/tools/{tool_ids[0]}", {"timeout_ms": 1}).status == 200
    assert [binding["tool_id"] for binding in api.get("/agents/support/tools").json] == tool_ids[:40]


@pytest.mark.parametrize("path", ["/agents/support", "/tools/echo"])
def test_agent_or_tool_is_deleted_in_between(api: Api, pair: tuple[str, str], faults: Faults, path: str) -> None:
    faults.at(0, "before", lambda: api.delete(path))
    assert api.post("/agents/support/tools/echo").status == 404
    assert faults.happened == 1


def test_tool_is_unbound_in_between(api: Api, pair: tuple[str, str], faults: Faults) -> None:
    api.post("/agents/support/tools/echo")
    faults.at(0, "before", lambda: api.delete("/agents/support/tools/echo"))
    assert api.delete("/agents/support/tools/echo").status == 404
    assert api.delete("/tools/echo").status == 204


def test_tools_that_are_bound_in_between_stay(api: Api, pair: tuple[str, str], faults: Faults) -> None:
    runs.internal(api, "calculator")
    faults.at(0, "before", lambda: api.post("/agents/support/tools/calculator"))
    assert api.post("/agents/support/tools/echo").status == 201
    assert len(api.get("/agents/support/tools").json) == 2


def test_tool_that_is_bound_while_its_agent_goes_is_released(
    api: Api, pair: tuple[str, str], faults: Faults, items: Callable[[], list[dict[str, Any]]]
) -> None:
    """Otherwise nobody could ever delete the tool: it would be in use by an agent that is gone."""
    faults.at(0, "before", lambda: api.post("/agents/support/tools/echo"))
    if api.delete("/agents/support").status == 409:
        assert api.delete("/agents/support").status == 204
    assert faults.happened == 1
    assert not [item for item in items() if item["sk"]["S"] == pair[0] and "#TOOL#" in item["pk"]["S"]]
    assert api.delete("/tools/echo").status == 204
