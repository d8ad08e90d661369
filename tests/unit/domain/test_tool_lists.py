"""Lists of tools: filters with every form of paging, types; and what deploy does to a status."""

from typing import Any

import pytest

from shared.domain import internal_tools
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Api


def names(api: Api, query: str) -> list[str]:
    answer = api.get(f"/tools?{query}")
    assert answer.status == 200, answer.text
    return [tool["name"] for tool in answer.json]


@pytest.fixture
def some(api: Api) -> dict[str, str]:
    """Four tools; the agent `support` has the last two."""
    made = {
        "a": runs.webhook(api, "a", category="shop"),
        "b": runs.internal(api, "b", category="shop", status="deprecated"),
        "c": runs.internal(api, "c"),
        "d": runs.webhook(api, "d", category="news"),
    }
    runs.agent(api, made["c"], made["d"])
    return made


@pytest.mark.covers("GET /tools")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "dcba"),
        ("status=active", "dca"),
        ("status=deprecated", "b"),
        ("category=shop", "ba"),
        ("category=sho", ""),
        ("execution_type=internal", "cb"),
        ("execution_type=http_webhook&category=shop", "a"),
        ("status=active&category=shop", "a"),
        ("agent_name=support", "dc"),
        ("agent_name=support&execution_type=internal", "c"),
        ("agent_name=support&status=deprecated", ""),
        ("agent_name=nobody", ""),
    ],
)
def test_filters(api: Api, some: dict[str, str], query: str, found: str) -> None:
    assert names(api, query) == list(found)


def test_an_agent_can_be_named_by_its_id(api: Api, some: dict[str, str]) -> None:
    agent_id = api.get("/agents/support").json["id"]
    assert names(api, f"agent_name={agent_id}") == ["d", "c"]


@pytest.mark.parametrize("query", ["status=gone", "execution_type=mcp", "status=", "limit=0"])
def test_filters_that_are_refused(api: Api, query: str) -> None:
    assert api.get(f"/tools?{query}").status == 422


def test_another_tenants_agent_has_no_tools_here(api: Api, other: Api, some: dict[str, str]) -> None:
    assert names(other, "agent_name=support") == []
    assert names(other, "category=shop") == []


@pytest.mark.parametrize("query", ["execution_type=internal", "agent_name=many", ""])
def test_every_form_of_paging_goes_with_filters(api: Api, store: TenantStore, query: str) -> None:
    tool = api.make("/tools", name="original")
    ids = runs.copies(store, tool, 12)
    runs.agent(api, tool["id"], *ids, name="many")
    runs.webhook(api)
    whole = names(api, f"{query}&limit=100")
    assert len(whole) == (14 if not query else 13)
    found, cursor = [], ""
    while True:
        answer = api.get(f"/tools?{query}&limit=5{cursor}")
        found += [tool["name"] for tool in answer.json]
        if "x-next-cursor" not in answer.headers:
            break
        cursor = f"&cursor={answer.headers['x-next-cursor']}"
        assert "cursor=" in answer.headers["link"]
    assert found == whole
    assert names(api, f"{query}&offset=3&limit=4") == whole[3:7]
    assert names(api, f"{query}&skip=3&limit=4") == whole[3:7]
    assert names(api, f"{query}&page=2&page_size=5") == whole[5:10]


def test_a_tool_that_is_gone_is_not_listed_with_its_agent(api: Api, some: dict[str, str]) -> None:
    api.delete("/tools/c?force=true")
    assert names(api, "agent_name=support") == ["d"]


@pytest.mark.covers("GET /tools/types")
def test_types_name_every_internal_tool_with_its_schema(api: Api) -> None:
    webhook, internal = api.get("/tools/types").json
    assert (webhook["name"], webhook["tools"]) == ("http_webhook", [])
    assert webhook["auth_types"] == ["none", "api_key", "oauth2", "service"]
    assert internal["name"] == "internal"
    assert {tool["name"]: tool["input_schema"] for tool in internal["tools"]} == internal_tools._SCHEMAS
    for tool in internal["tools"]:
        made: Any = api.make("/tools", name=tool["name"])
        assert made["execution_type"] == "internal"


@pytest.mark.covers("POST /tools/{tool_ref}/deploy")
def test_deploy_makes_a_tool_active(api: Api) -> None:
    runs.internal(api, status="deprecated")
    answer = api.post("/tools/echo/deploy")
    assert (answer.status, answer.json["status"], answer.json["version"]) == (200, "active", 2)
    assert api.post("/tools/echo/deploy").json == answer.json == api.get("/tools/echo").json


def test_deploy_of_an_unknown_or_foreign_tool(api: Api, other: Api) -> None:
    tool_id = runs.internal(api, status="deprecated")
    for ref in (tool_id, "echo", "nobody"):
        assert other.post(f"/tools/{ref}/deploy").status == 404
    assert api.get("/tools/echo").json["status"] == "deprecated"
    assert api.as_(scopes="tools:read").post("/tools/echo/deploy").status == 403
