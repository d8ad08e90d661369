"""Agents over the API."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.store.ids import new_id
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api

Setting = Callable[[str, str | None], None]


def place(answer: Any) -> str:
    """The place of the first problem, in dots."""
    assert answer.status == 422
    return ".".join(str(part) for part in answer.json["errors"][0]["loc"])


@pytest.mark.covers("POST /agents")
def test_only_a_name_is_required(api: Api) -> None:
    answer = api.post("/agents", {"name": "support"})
    assert answer.status == 201
    agent = answer.json
    assert answer.headers["location"] == f"/agents/{agent['id']}"
    assert agent == {
        "id": agent["id"],
        "tenant_id": "tenant_a",
        "owner_user_id": "user_1",
        "user_id": "user_1",
        "name": "support",
        "role": "",
        "description": "",
        "system_prompt": "",
        "model": "openai:gpt-4o-mini",
        "llm_params": {},
        "kind": "llm",
        "status": "draft",
        "tags": [],
        "version": 1,
        "current_version": None,
        "current_version_id": None,
        "live_version": None,
        "deployment": "none",
        "created_at": agent["created_at"],
        "updated_at": agent["created_at"],
    }
    assert api.get(f"/agents/{agent['id']}").json == api.get("/agents/support").json == agent


@pytest.mark.covers("POST /agents")
def test_everything_set(api: Api) -> None:
    given: dict[str, Any] = {
        "name": "Support Desk",
        "role": "clerk",
        "description": "Sells tea.",
        "system_prompt": "Be kind.",
        "model": "openai:gpt-5",
        "llm_params": {
            "temperature": 0,
            "top_p": 1,
            "max_tokens": 100,
            "max_completion_tokens": 100,
            "presence_penalty": -2,
            "frequency_penalty": 2,
            "seed": 7,
            "stop": ["END"],
            "parallel_tool_calls": False,
            "reasoning_effort": "low",
            "response_format": {"type": "json_object"},
        },
        "kind": "llm",
        "status": "published",
        "tags": ["a"],
        "version": 3,
    }
    assert api.make("/agents", **given) == api.get("/agents/Support%20Desk").json
    assert api.get("/agents/Support%20Desk").json | given == api.get("/agents/Support%20Desk").json


def test_default_model_is_a_setting(api: Api, setting: Setting) -> None:
    setting("DEFAULT_MODEL", "openai:gpt-9")
    assert api.make("/agents", name="support")["model"] == "openai:gpt-9"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "x" * 201}, "body.name"),
        ({"name": "01900000-0000-7000-8000-000000000000"}, "body.name"),
        ({"role": "x" * 2_001}, "body.role"),
        ({"role": None}, "body.role"),
        ({"system_prompt": "x" * 32_001}, "body.system_prompt"),
        ({"model": ""}, "body.model"),
        ({"model": "openai:"}, "body.model"),
        ({"model": "a b"}, "body.model"),
        ({"model": "custom:tiny"}, "body.model"),
        ({"model": "no-such:tiny"}, "body.model"),
        ({"model": "AWS_ACCESS_KEY_ID\n:x"}, "body.model"),
        ({"kind": "workflow"}, "body.kind"),
        ({"status": "ready"}, "body.status"),
        ({"tags": [""]}, "body.tags.0"),
        ({"tags": "a"}, "body.tags"),
        ({"version": 0}, "body.version"),
        ({"llm_params": {"temperature": 2.1}}, "body.llm_params.temperature"),
        ({"llm_params": {"temperature": "x"}}, "body.llm_params.temperature"),
        ({"llm_params": {"max_tokens": 0}}, "body.llm_params.max_tokens"),
        ({"llm_params": {"seed": 2**63}}, "body.llm_params.seed"),
        ({"llm_params": {"stop": ["a"] * 5}}, "body.llm_params.stop"),
        ({"llm_params": {"response_format": {"x": "y" * 5_000}}}, "body.llm_params.response_format"),
        ({"llm_params": {"stream": True}}, "body.llm_params.stream"),
        ({"llm_params": {"base_url": "https://evil.example"}}, "body.llm_params.base_url"),
        ({"llm_params": None}, "body.llm_params"),
        ({"llm_params": {"seed": True}}, "body.llm_params.seed"),
        ({"llm_params": {"temperature": "1"}}, "body.llm_params.temperature"),
        ({"version": "1"}, "body.version"),
        ({"tool_ids": ["x"] * 41}, "body.tool_ids"),
        ({"tool_ids": ["x" * 65]}, "body.tool_ids.0"),
        ({"owner_user_id": "user_9"}, "body.owner_user_id"),
        ({"tenant_id": "tenant_b"}, "body.tenant_id"),
    ],
)
def test_fields_that_are_refused(api: Api, fields: dict[str, Any], where: str) -> None:
    assert place(api.post("/agents", {"name": "x"} | fields)) == where
    assert api.get("/agents").json == []


def test_tools_are_bound_with_defaults(api: Api) -> None:
    tool_ids = [runs.internal(api, name) for name in ("echo", "calculator")]
    agent_id = runs.agent(api, *tool_ids, tool_ids[0])
    bound = api.get(f"/agents/{agent_id}/tools").json
    assert [(each["tool_id"], each["permission_scope"], each["timeout_ms"]) for each in bound] == [
        (tool_ids[0], "read", 15_000),
        (tool_ids[1], "read", 15_000),
    ]


@pytest.mark.parametrize("missing", ["", "echo", "01900000-0000-7000-8000-000000000000", "../echo", "ü" * 64])
def test_unknown_tools_are_refused(api: Api, missing: str) -> None:
    tool_id = runs.internal(api)
    answer = api.post("/agents", {"name": "x", "tool_ids": [tool_id, missing]})
    assert (answer.status, answer.code) == (404, "not_found")
    assert api.get("/agents").json == []
    assert api.delete("/tools/echo").status == 204


def test_an_empty_tool_id_names_no_tool(api: Api) -> None:
    assert api.post("/agents", {"name": "x", "tool_ids": [""]}).status == 404


def test_tool_of_another_tenant_is_unknown(api: Api, other: Api) -> None:
    tool_id = runs.internal(api)
    assert other.post("/agents", {"name": "x", "tool_ids": [tool_id]}).status == 404


def test_tool_that_is_deleted_in_between(api: Api, faults: Faults) -> None:
    tool_id = runs.internal(api)
    faults.at(0, "before", lambda: api.delete("/tools/echo"))
    answer = api.post("/agents", {"name": "x", "tool_ids": [tool_id]})
    assert (answer.status, answer.json["detail"]) == (404, "One of the tools was deleted just now.")
    assert api.get("/agents").json == []


def test_most_tools_that_an_agent_may_have(api: Api, store: TenantStore) -> None:
    """Each tool is two writes, and a transaction holds a hundred."""
    tool = api.make("/tools", name="echo")
    agent_id = runs.agent(api, tool["id"], *runs.copies(store, tool, 39))
    assert len(api.get(f"/agents/{agent_id}/tools").json) == 40
    assert api.delete(f"/agents/{agent_id}").status == 204
    assert api.delete("/tools/echo").status == 204


def test_names_are_unique_in_a_tenant(api: Api, other: Api) -> None:
    runs.agent(api)
    assert api.post("/agents", {"name": "support"}).code == "name_taken"
    runs.agent(other)
    api.make("/tools", name="support")


def test_name_that_is_taken_in_between(api: Api, faults: Faults) -> None:
    runs.agent(api, name="first")
    faults.at(0, "before", lambda: runs.agent(api))
    assert api.patch("/agents/first", {"name": "support"}).code == "name_taken"
    assert api.get("/agents/first").json["version"] == 1


@pytest.mark.covers("GET /agents/{agent_ref}")
def test_agent_of_another_tenant_is_unknown(api: Api, other: Api) -> None:
    agent_id = runs.agent(api)
    for ref in (agent_id, "support"):
        assert other.get(f"/agents/{ref}").status == 404
        assert other.patch(f"/agents/{ref}", {"role": "mine"}).status == 404
        assert other.put(f"/agents/{ref}", {"name": "mine"}).status == 404
        assert other.delete(f"/agents/{ref}").status == 404
        assert other.get(f"/agents/{ref}/tools").status == 404
    assert other.get("/agents").json == []
    assert api.get("/agents/support").json["version"] == 1


@pytest.mark.covers("PATCH /agents/{agent_ref}")
def test_patch_sets_what_is_given(api: Api) -> None:
    before = api.make("/agents", name="support", llm_params={"temperature": 1, "seed": 7}, tags=["a"], role="clerk")
    after = api.patch("/agents/support", {"llm_params": {"top_p": 0.5}, "status": "archived"}).json
    changed = {"llm_params": {"top_p": 0.5}, "status": "archived", "version": 2, "updated_at": after["updated_at"]}
    assert after == before | changed == api.get("/agents/support").json


def test_patch_with_nothing_changes_the_version_only(api: Api) -> None:
    before = api.make("/agents", name="support")
    after = api.patch("/agents/support", {}).json
    assert after == before | {"version": 2, "updated_at": after["updated_at"]}


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_null_model_is_the_default_model(api: Api, setting: Setting, method: str) -> None:
    api.make("/agents", name="support", model="openai:gpt-5")
    assert api.call(method, "/agents/support", {"name": "support", "model": None}).json["model"] == "openai:gpt-4o-mini"


@pytest.mark.covers("PUT /agents/{agent_ref}")
def test_put_sets_everything_but_what_is_not_the_clients(api: Api) -> None:
    tool_id = runs.internal(api)
    runs.agent(api, tool_id, role="clerk", tags=["a"])
    before = api.get("/agents/support").json
    after = api.as_(user="user_9").put("/agents/support", {"name": "desk"}).json
    assert (after["role"], after["tags"], after["status"], after["version"]) == ("", [], "draft", 2)
    for kept in ("id", "tenant_id", "owner_user_id", "created_at"):
        assert after[kept] == before[kept]
    assert [each["tool_id"] for each in api.get("/agents/desk/tools").json] == [tool_id]


@pytest.mark.parametrize(
    ("patch", "where"),
    [
        ({"name": None}, "body.name"),
        ({"name": " "}, "body.name"),
        ({"role": None}, "body.role"),
        ({"status": "ready"}, "body.status"),
        ({"tool_ids": []}, "body.tool_ids"),
        ({"version": 2}, "body.version"),
        ({"model": "no-such:tiny"}, "body.model"),
    ],
)
def test_patches_that_are_refused(api: Api, patch: dict[str, Any], where: str) -> None:
    runs.agent(api)
    assert place(api.patch("/agents/support", patch)) == where
    assert api.get("/agents/support").json["version"] == 1


def test_agent_whose_provider_is_gone_can_be_changed(api: Api, setting: Setting) -> None:
    """The operator switched a provider off: what is not about the model can still be set, and so can the model."""
    setting("CUSTOM_BASE_URL", "https://models.example/v1")
    api.make("/agents", name="support", model="custom:tiny")
    setting("CUSTOM_BASE_URL", None)
    assert api.get("/agents/support").json["model"] == "custom:tiny"
    assert api.patch("/agents/support", {"role": "clerk"}).json["role"] == "clerk"
    assert api.patch("/agents/support", {"model": "gpt-5"}).json["model"] == "gpt-5"


def test_update_that_loses_a_race_is_done_again_on_the_newer_version(api: Api, faults: Faults) -> None:
    runs.agent(api)
    faults.at(0, "before", lambda: api.patch("/agents/support", {"role": "theirs", "description": "theirs"}))
    answer = api.patch("/agents/support", {"role": "mine"})
    assert (answer.status, faults.happened) == (200, 1)
    agent = api.get("/agents/support").json
    assert (agent["role"], agent["description"], agent["version"]) == ("mine", "theirs", 3)


def test_update_of_a_named_version_that_loses_a_race_is_refused(api: Api, faults: Faults) -> None:
    runs.agent(api)
    faults.at(0, "before", lambda: api.patch("/agents/support", {"role": "theirs"}))
    answer = api.patch("/agents/support", {"role": "mine"}, headers={"If-Match": "1"})
    assert (answer.status, answer.code) == (409, "version_conflict")
    assert api.get("/agents/support").json["role"] == "theirs"


def test_update_that_always_loses_gives_up(api: Api, faults: Faults) -> None:
    runs.agent(api)
    for number in range(5):
        faults.at(number, "before", lambda: api.patch("/agents/support", {"role": "theirs"}))
    assert api.patch("/agents/support", {"role": "mine"}).code == "version_conflict"


def test_agent_that_is_deleted_in_between(api: Api, faults: Faults) -> None:
    runs.agent(api)
    faults.at(0, "before", lambda: api.delete("/agents/support"))
    assert api.patch("/agents/support", {"role": "mine"}).status == 404
    assert api.get("/agents").json == []


def test_delete_that_meets_an_update_is_refused(api: Api, faults: Faults) -> None:
    runs.agent(api)
    faults.at(0, "before", lambda: api.patch("/agents/support", {"role": "theirs"}))
    assert api.delete("/agents/support").status == 409
    assert api.delete("/agents/support").status == 204


@pytest.mark.covers("DELETE /agents/{agent_ref}")
def test_deleted_agent_is_gone_and_its_name_is_free(api: Api, items: Callable[[], list[dict[str, Any]]]) -> None:
    agent_id = runs.agent(api, runs.internal(api))
    assert api.delete("/agents/support").status == 204
    for ref in (agent_id, "support"):
        assert api.get(f"/agents/{ref}").status == 404
        assert api.get(f"/agents/{ref}/tools").status == 404
        assert api.delete(f"/agents/{ref}").status == 404
    assert api.get("/agents").json == []
    assert [item for item in items() if "deleted_at" in item["doc"]["S"] and item["sk"]["S"] == agent_id]
    assert runs.agent(api) != agent_id


@pytest.mark.covers("GET /agents")
def test_list_shows_the_newest_first(api: Api) -> None:
    made = [runs.agent(api, name=f"a{n}") for n in range(3)]
    assert [agent["id"] for agent in api.get("/agents").json] == made[::-1]


def test_store_needs_a_tenant() -> None:
    for tenant in ("", "a#AGENT"):
        with pytest.raises(ValueError, match="tenant"):
            TenantStore(tenant)


def test_reserved_id_is_used_once() -> None:
    reserved = new_id()
    store = TenantStore("tenant_a", reserved)
    assert store.new_id() == reserved
    assert store.new_id() != reserved
