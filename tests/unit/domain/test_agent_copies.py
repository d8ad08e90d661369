"""Copies of agents over the API."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import WorkerDied

pytestmark = pytest.mark.covers("POST /agents/{agent_ref}/clone")


def names(api: Api) -> set[str]:
    return {agent["name"] for agent in api.get("/agents?limit=100").json}


def test_copy_is_a_draft_of_its_own_with_the_bindings(api: Api) -> None:
    tool_id = runs.internal(api)
    original = api.make("/agents", name="support", status="published", system_prompt="Be kind.", tags=["a"], version=7)
    given = {"timeout_ms": 1_000, "permission_scope": "write", "allowed_domains": ["a.example"], "secrets_ref": "TEA"}
    binding = api.make("/agents/support/tools/echo", **given)
    answer = api.as_(user="user_9").post("/agents/support/clone", {"name": "desk"})
    assert answer.status == 201
    copy = answer.json
    assert answer.headers["location"] == f"/agents/{copy['id']}"
    own = ("id", "name", "owner_user_id", "user_id", "status", "version", "created_at", "updated_at")
    kept = original.keys() - {*own, "current_version", "current_version_id"}
    assert {name: copy[name] for name in kept} == {name: original[name] for name in kept}
    assert (copy["name"], copy["status"], copy["version"]) == ("desk", "draft", 1)
    assert (copy["owner_user_id"], copy["current_version"], copy["current_version_id"]) == ("user_9", None, None)
    (copied,) = api.get("/agents/desk/tools").json
    changed = {name: copied[name] for name in ("id", "agent_id", "created_at", "updated_at")}
    assert copied == binding | changed
    assert copied["id"] != binding["id"]
    assert copied["agent_id"] == copy["id"]
    assert api.get("/agents/support").json["version"] == 7
    api.delete("/agents/support")
    assert api.delete(f"/tools/{tool_id}").code == "tool_in_use"
    api.delete("/agents/desk")
    assert api.delete(f"/tools/{tool_id}").status == 204


def test_copy_is_made_of_the_working_copy(api: Api) -> None:
    runs.agent(api, system_prompt="one")
    api.patch("/agents/support", {"system_prompt": "two", "status": "archived"})
    copy = api.post("/agents/support/clone").json
    assert (copy["system_prompt"], copy["status"]) == ("two", "draft")


def test_copies_are_counted_in_their_names(api: Api) -> None:
    runs.agent(api)
    made = [api.make("/agents/support/clone")["name"] for _ in range(3)]
    assert made == ["support (copy)", "support (copy 2)", "support (copy 3)"]
    api.delete("/agents/support%20(copy%202)")
    assert api.make("/agents/support/clone", name=None)["name"] == "support (copy 2)"
    assert api.make("/agents/support%20(copy)/clone")["name"] == "support (copy) (copy)"


@pytest.mark.parametrize("name", ["x" * 200, "ü" * 200, "x" * 181])
def test_long_names_leave_room_for_the_number(api: Api, name: str) -> None:
    agent_id = runs.agent(api, name=name)
    made = [api.make(f"/agents/{agent_id}/clone")["name"] for _ in range(2)]
    assert made == [f"{name[:180]} (copy)", f"{name[:180]} (copy 2)"]


def test_name_that_is_taken(api: Api) -> None:
    runs.agent(api)
    runs.agent(api, name="desk")
    assert api.post("/agents/support/clone", {"name": "desk"}).code == "name_taken"


@pytest.mark.parametrize("body", [{"name": ""}, {"name": " "}, {"name": "x" * 201}, {"status": "published"}, [1], "x"])
def test_bodies_that_are_refused(api: Api, body: Any) -> None:
    runs.agent(api)
    assert api.post("/agents/support/clone", body).status == 422
    assert names(api) == {"support"}


def test_name_in_the_form_of_an_id(api: Api) -> None:
    agent_id = runs.agent(api)
    assert api.post("/agents/support/clone", {"name": agent_id}).json["errors"][0]["type"] == "reserved_name"


def test_copies_made_at_once_have_different_names(api: Api, faults: Faults) -> None:
    runs.agent(api)
    faults.at(0, "before", lambda: api.post("/agents/support/clone"))
    assert api.make("/agents/support/clone")["name"] == "support (copy 2)"


def test_copying_that_always_loses_gives_up(api: Api, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.domain.agent_copies._NAMES_TRIED", 2)
    runs.agent(api)
    for number in range(2):
        faults.at(number, "before", lambda: api.post("/agents/support/clone"))
    assert api.post("/agents/support/clone").code == "name_taken"


def test_tools_that_are_gone_are_not_copied(api: Api) -> None:
    runs.agent(api, runs.internal(api, "echo"), runs.internal(api, "calculator"))
    assert api.delete("/tools/echo?force=true").status == 204
    copy = api.make("/agents/support/clone")
    assert len(api.get(f"/agents/{copy['id']}/tools").json) == 1
    assert len(api.get("/agents/support/tools").json) == 2


def test_tool_that_is_deleted_in_between(api: Api, faults: Faults) -> None:
    runs.agent(api, runs.internal(api))
    faults.at(0, "before", lambda: api.delete("/tools/echo?force=true"))
    assert api.post("/agents/support/clone").code == "conflict"
    assert names(api) == {"support"}


def test_most_tools_that_an_agent_may_have(api: Api, store: TenantStore) -> None:
    """Each tool is two writes, and a transaction holds a hundred."""
    tool = api.make("/tools", name="echo")
    agent_id = runs.agent(api, tool["id"], *runs.copies(store, tool, 39))
    copy = api.make(f"/agents/{agent_id}/clone")
    assert len(api.get(f"/agents/{copy['id']}/tools").json) == 40


def test_write_tools_are_bound_by_those_who_may(api: Api) -> None:
    runs.internal(api)
    runs.agent(api)
    api.make("/agents/support/tools/echo", permission_scope="write")
    editor = api.as_(scopes="agents:write")
    answer = editor.post("/agents/support/clone")
    assert (answer.status, answer.code) == (403, "scope_missing")
    assert names(api) == {"support"}
    assert api.as_(scopes="agents:write tools:write").post("/agents/support/clone").status == 201
    api.post("/agents/support/tools/echo", {"permission_scope": "read"})
    assert editor.post("/agents/support/clone").status == 201


def test_agent_of_another_tenant_is_unknown(api: Api, other: Api) -> None:
    agent_id = runs.agent(api)
    for ref in ("support", agent_id):
        assert other.post(f"/agents/{ref}/clone", {"name": "mine"}).status == 404
    assert names(other) == set()


@pytest.mark.parametrize("body", [None, {"name": "desk"}])
def test_copying_that_died_after_its_effect_has_it_once(
    api: Api, faults: Faults, travel: Callable[[float], None], body: Any
) -> None:
    runs.agent(api, runs.internal(api))
    faults.at(1, "after", die)
    with pytest.raises(WorkerDied):
        api.post("/agents/support/clone", body, headers={"Idempotency-Key": "k"})
    made = names(api) - {"support"}
    assert len(made) == 1
    travel(60)
    again = api.post("/agents/support/clone", body, headers={"Idempotency-Key": "k"})
    assert again.status == 201
    assert {again.json["name"]} == made == names(api) - {"support"}
