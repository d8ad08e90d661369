"""Versions of agents over the API: publish, list, roll back, deploy; and what runs make of them."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import agent_versions, agents
from shared.errors import VersionConflict
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import Put, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.machine import Machine, WorkerDied
from tests.unit.support.model import ScriptedModel

# The record of a request that changed nothing.
AUDIT = ["UpdateItem"]
NOWHERE = "01900000-0000-7000-8000-000000000000"


@pytest.fixture
def ran(api: Api, machine: Machine, model: ScriptedModel) -> Callable[[], tuple[str, list[str], int]]:
    """Runs the agent `support`: its instructions and its tools as the model saw them, and its version in the run."""

    def run() -> tuple[str, list[str], int]:
        model.says("done")
        found = runs.start(api)
        assert found["status"] == "succeeded"
        seen = model.requests[-1]
        tools = [tool["function"]["name"] for tool in seen.get("tools", [])]
        return seen["messages"][0]["content"], tools, found["agent_version"]

    return run


def draft(api: Api, **fields: Any) -> Any:
    return api.make("/agents", **({"name": "support", "system_prompt": "one"} | fields))


def publish(api: Api, **options: Any) -> Answer:
    return api.post("/agents/support/publish", **options)


def numbers(api: Api) -> list[int]:
    return [version["version"] for version in api.get("/agents/support/versions").json]


@pytest.mark.covers("POST /agents/{agent_ref}/publish")
def test_publishing_keeps_the_agent_as_its_next_version(api: Api) -> None:
    runs.internal(api)
    made = draft(api, role="clerk", tags=["a"], llm_params={"seed": 7})
    binding = api.make("/agents/support/tools/echo", timeout_ms=1_000)
    answer = publish(api)
    assert answer.status == 200
    agent = answer.json
    changed = {
        "status": "published",
        "version": 2,
        "current_version": 2,
        "current_version_id": agent["current_version_id"],
        "updated_at": agent["updated_at"],
    }
    assert agent == made | changed == api.get("/agents/support").json
    kept = api.get("/agents/support/versions/2").json
    settable = ("name", "role", "description", "system_prompt", "model", "llm_params", "kind", "tags")
    assert kept == {name: agent[name] for name in (*settable, "tenant_id", "version")} | {
        "id": agent["current_version_id"],
        "agent_id": agent["id"],
        "bindings": [binding],
        "created_at": agent["updated_at"],
    }


def test_publishing_again_makes_another_version(api: Api) -> None:
    draft(api)
    first, second = publish(api).json, publish(api).json
    assert (first["current_version"], second["current_version"]) == (2, 3)
    assert first["current_version_id"] != second["current_version_id"]
    assert numbers(api) == [3, 2]


@pytest.mark.parametrize("make", ["create", "patch", "put"])
def test_agent_that_becomes_published_has_a_version(api: Api, make: str) -> None:
    if make == "create":
        draft(api, status="published")
    else:
        draft(api)
        body = {"name": "support", "system_prompt": "two", "status": "published"}
        assert api.call("PATCH" if make == "patch" else "PUT", "/agents/support", body).status == 200
    agent = api.get("/agents/support").json
    (kept,) = api.get("/agents/support/versions").json
    assert (agent["current_version"], agent["current_version_id"]) == (kept["version"], kept["id"])
    assert kept["version"] == agent["version"] == (1 if make == "create" else 2)
    assert kept["system_prompt"] == ("one" if make == "create" else "two")


def test_agent_that_stays_published_gets_no_version(api: Api) -> None:
    draft(api, status="published")
    assert api.patch("/agents/support", {"status": "published", "role": "clerk"}).json["current_version"] == 1
    assert numbers(api) == [1]


def test_first_version_of_a_document_may_be_any(api: Api) -> None:
    """Document 1's samples send the version."""
    assert draft(api, status="published", version=3)["current_version"] == 3
    assert numbers(api) == [3]
    assert publish(api).json["version"] == 4


def test_if_match(api: Api) -> None:
    draft(api)
    assert publish(api, headers={"If-Match": "2"}).code == "version_conflict"
    assert publish(api, headers={"If-Match": "x"}).status == 400
    assert numbers(api) == []
    assert publish(api, headers={"If-Match": '"1"'}).status == 200


def test_run_of_a_draft_uses_the_working_copy(api: Api, ran: Callable[[], Any]) -> None:
    draft(api)
    assert ran() == ("one", [], 1)
    api.patch("/agents/support", {"system_prompt": "two"})
    assert ran() == ("two", [], 2)


def test_run_of_a_published_agent_uses_what_was_published(api: Api, ran: Callable[[], Any]) -> None:
    runs.internal(api, "echo")
    runs.internal(api, "calculator")
    draft(api)
    api.make("/agents/support/tools/echo")
    publish(api)
    api.patch("/agents/support", {"system_prompt": "two"})
    api.make("/agents/support/tools/calculator")
    api.delete("/agents/support/tools/echo")
    assert ran() == ("one", ["echo"], 2)
    publish(api)
    assert ran() == ("two", ["calculator"], 4)
    assert api.post("/agents/support/versions/2/activate").status == 200
    assert ran() == ("one", ["echo"], 2)


def test_run_of_an_agent_made_published_has_the_tools_bound_since(api: Api, ran: Callable[[], Any]) -> None:
    """Document 1 makes an agent published, binds its tools, and runs it."""
    runs.internal(api, "echo")
    runs.internal(api, "calculator")
    draft(api, status="published", tool_ids=[api.get("/tools/echo").json["id"]])
    api.make("/agents/support/tools/calculator")
    api.patch("/agents/support", {"system_prompt": "two"})
    assert ran() == ("one", ["echo", "calculator"], 1)
    assert api.get("/agents/support/versions/1").json["bindings"] is None


def test_tools_themselves_are_read_when_a_run_begins(api: Api, ran: Callable[[], Any]) -> None:
    runs.internal(api)
    draft(api)
    api.make("/agents/support/tools/echo")
    publish(api)
    api.patch("/tools/echo", {"name": "parrot", "execution_type": "internal"})
    assert ran() == ("one", ["parrot"], 2)
    assert api.delete("/tools/parrot?force=true").status == 204
    assert ran() == ("one", [], 2)


def test_run_says_which_version_it_used(api: Api, machine: Machine, model: ScriptedModel) -> None:
    draft(api, status="published")
    model.says("done")
    run = runs.start(api)
    (start,) = runs.named(runs.events(api, run["id"]), "start")
    assert run["agent_version"] == start["agent_version"] == 1


@pytest.mark.covers("GET /agents/{agent_ref}/versions")
def test_versions_are_listed_newest_first_and_in_pages(api: Api, other: Api) -> None:
    draft(api)
    assert numbers(api) == []
    for _ in range(5):
        publish(api)
    assert numbers(api) == [6, 5, 4, 3, 2]
    first = api.get("/agents/support/versions?limit=2")
    assert [version["version"] for version in first.json] == [6, 5]
    following = first.headers["x-next-cursor"]
    second = api.get(f"/agents/support/versions?limit=2&cursor={following}")
    assert [version["version"] for version in second.json] == [4, 3]
    third = api.get("/agents/support/versions?page=3&page_size=2")
    assert [version["version"] for version in third.json] == [2]
    assert "link" not in third.headers


@pytest.mark.covers("GET /agents/{agent_ref}/versions/{version}")
@pytest.mark.parametrize(
    "version", ["1", "3", "0", "02", "-2", "two", "2.0", "%C2%B2", "٢", "9" * 9, "9" * 10, "9" * 400]
)
def test_versions_that_do_not_exist(api: Api, version: str) -> None:
    draft(api)
    publish(api)
    assert api.get(f"/agents/support/versions/{version}").status == 404
    assert api.post(f"/agents/support/versions/{version}/activate").status == 404


@pytest.mark.covers("POST /agents/{agent_ref}/versions/{version}/activate")
def test_activating_is_repeatable(api: Api, requests: Requests) -> None:
    agent_id = draft(api)["id"]
    publish(api)
    kept = api.get("/agents/support/versions/2").json
    publish(api)
    agent = api.post("/agents/support/versions/2/activate").json
    assert (agent["version"], agent["current_version"], agent["current_version_id"]) == (4, 2, kept["id"])
    again = requests.of(lambda: api.post(f"/agents/{agent_id}/versions/2/activate"))
    assert again == ["GetItem", "GetItem", "GetItem", *AUDIT]
    assert api.get("/agents/support").json == agent
    assert numbers(api) == [3, 2]


def test_activating_publishes_a_draft_again(api: Api, ran: Callable[[], Any]) -> None:
    draft(api)
    publish(api)
    api.put("/agents/support", {"name": "support", "system_prompt": "two"})
    assert ran() == ("two", [], 3)
    assert api.post("/agents/support/versions/2/activate").json["status"] == "published"
    assert ran() == ("one", [], 2)


@pytest.mark.covers("POST /agents/{agent_ref}/deploy", "POST /agents/{agent_ref}/undeploy")
def test_deployed_agent_runs_its_live_version_whatever_is_published_later(api: Api, ran: Callable[[], Any]) -> None:
    draft(api)
    publish(api)
    agent = api.post("/agents/support/deploy").json
    assert (agent["deployment"], agent["live_version"], agent["version"]) == ("live", 2, 3)
    api.patch("/agents/support", {"system_prompt": "two"})
    published = publish(api).json
    assert (published["live_version"], published["current_version"]) == (2, 5)
    assert ran() == ("one", [], 2)
    assert api.post("/agents/support/deploy", {"version": 5}).json["live_version"] == 5
    assert ran() == ("two", [], 5)
    api.post("/agents/support/deploy", {"version": 2})
    agent = api.post("/agents/support/undeploy").json
    assert (agent["deployment"], agent["live_version"]) == ("none", None)
    assert ran() == ("two", [], 5)


def test_deployed_agent_can_be_run_by_everybody_while_it_is_edited(
    api: Api, machine: Machine, model: ScriptedModel
) -> None:
    draft(api)
    publish(api)
    api.post("/agents/support/deploy")
    api.put("/agents/support", {"name": "support", "system_prompt": "two"})
    model.says("done")
    run = runs.start(api.as_(scopes="runs:execute"))
    assert run["agent_version"] == 2


def test_deploying_is_repeatable(api: Api, requests: Requests) -> None:
    agent_id = draft(api)["id"]
    publish(api)
    agent = api.post("/agents/support/deploy", {}).json
    assert requests.of(lambda: api.post(f"/agents/{agent_id}/deploy")) == ["GetItem", *AUDIT]
    again = requests.of(lambda: api.post(f"/agents/{agent_id}/deploy", {"version": 2}))
    assert again == ["GetItem", "GetItem", "GetItem", *AUDIT]
    assert api.get("/agents/support").json == agent
    undeployed = api.post("/agents/support/undeploy").json
    assert requests.of(lambda: api.post(f"/agents/{agent_id}/undeploy")) == ["GetItem", *AUDIT]
    assert api.get("/agents/support").json == undeployed


def test_agent_that_was_never_published_cannot_be_deployed(api: Api) -> None:
    draft(api)
    assert api.post("/agents/support/deploy").code == "agent_not_published"
    assert api.post("/agents/support/deploy", {"version": 1}).status == 404
    assert api.post("/agents/support/undeploy").json["version"] == 1


@pytest.mark.parametrize(
    "body", [{"version": 0}, {"version": "x"}, {"version": 1.5}, {"version": 10**9}, {"live": 1}, [1]]
)
def test_deployments_that_are_refused(api: Api, body: Any) -> None:
    draft(api)
    publish(api)
    assert api.post("/agents/support/deploy", body).status == 422
    assert api.get("/agents/support").json["deployment"] == "none"


def test_archived_agent_is_read_and_not_run(api: Api, machine: Machine, model: ScriptedModel) -> None:
    agent_id = runs.agent(api)
    api.post("/agents/support/deploy")
    assert api.patch("/agents/support", {"status": "archived"}).json["status"] == "archived"
    assert [agent["id"] for agent in api.get("/agents").json] == [agent_id]
    assert numbers(api) == [1]
    task = {"agent_id": "support", "input_message": "Hi"}
    assert api.post("/runs", task).code == "agent_archived"
    for verb in ("publish", "deploy", "versions/1/activate"):
        assert api.post(f"/agents/support/{verb}").code == "agent_archived"
    assert api.post("/agents/support/undeploy").status == 200
    assert api.patch("/agents/support", {"status": "published"}).json["current_version"] == 5
    model.says("back")
    assert runs.start(api)["agent_version"] == 5


def test_deleted_agent_hides_its_versions(api: Api) -> None:
    agent_id = runs.agent(api)
    assert api.delete("/agents/support").status == 204
    for ref in ("support", agent_id):
        assert api.get(f"/agents/{ref}/versions").status == 404
        assert api.get(f"/agents/{ref}/versions/1").status == 404
        for verb in ("publish", "deploy", "undeploy", "versions/1/activate"):
            assert api.post(f"/agents/{ref}/{verb}").status == 404
    assert runs.agent(api) != agent_id
    assert numbers(api) == [1]


def test_versions_of_another_tenant_are_unknown(api: Api, other: Api) -> None:
    agent_id = runs.agent(api)
    before = api.get("/agents/support").json
    for ref in ("support", agent_id, NOWHERE):
        assert other.get(f"/agents/{ref}/versions").status == 404
        assert other.get(f"/agents/{ref}/versions/1").status == 404
        for verb in ("publish", "deploy", "undeploy", "versions/1/activate"):
            assert other.post(f"/agents/{ref}/{verb}").status == 404
    assert api.get("/agents/support").json == before


def test_publishing_that_meets_a_change_publishes_the_change(api: Api, faults: Faults) -> None:
    draft(api)
    faults.at(0, "before", lambda: api.patch("/agents/support", {"system_prompt": "two"}))
    assert publish(api).json["version"] == 3
    assert api.get("/agents/support/versions/3").json["system_prompt"] == "two"


@pytest.mark.parametrize("verb", ["post", "delete"])
def test_publishing_that_meets_a_binding_keeps_what_the_agent_has(api: Api, faults: Faults, verb: str) -> None:
    """Bindings change without a new version of the agent, and still no version is published with stale ones."""
    runs.internal(api)
    draft(api)
    if verb == "delete":
        api.make("/agents/support/tools/echo")
    faults.at(0, "before", lambda: api.call(verb.upper(), "/agents/support/tools/echo"))
    assert publish(api).json["version"] == 2
    assert faults.happened == 1
    bound = api.get("/agents/support/tools").json
    assert api.get("/agents/support/versions/2").json["bindings"] == bound
    assert len(bound) == (1 if verb == "post" else 0)


def test_two_who_publish_at_once_both_have_a_version(api: Api, faults: Faults) -> None:
    draft(api)
    faults.at(0, "before", lambda: publish(api))
    assert publish(api).json["current_version"] == 3
    assert numbers(api) == [3, 2]


def test_publishing_that_always_loses_gives_up(api: Api, faults: Faults) -> None:
    draft(api)
    for number in range(5):
        faults.at(number, "before", lambda: api.patch("/agents/support", {}))
    assert publish(api).code == "version_conflict"
    assert numbers(api) == []


@pytest.mark.parametrize("headers", [{}, {"If-Match": "1"}])
@pytest.mark.parametrize("meanwhile", [[], [{}], [{"role": "clerk"}, {"status": "draft"}]])
def test_publishing_that_died_after_its_effect_has_it_once(
    api: Api, faults: Faults, travel: Callable[[float], None], headers: dict[str, str], meanwhile: list[Any]
) -> None:
    """The second try finds the first one's effect, whatever others have made of the agent since."""
    draft(api)
    faults.at(1, "after", die)
    with pytest.raises(WorkerDied):
        publish(api, headers=headers | {"Idempotency-Key": "k"})
    assert numbers(api) == [2]
    for patch in meanwhile:
        api.patch("/agents/support", patch)
    travel(60)
    assert publish(api, headers=headers | {"Idempotency-Key": "k"}).status == 200
    assert numbers(api) == [2]
    assert publish(api, headers=headers | {"Idempotency-Key": "k"}).headers["idempotency-replayed"] == "true"


def test_version_id_is_the_reserved_one(api: Api, store: TenantStore) -> None:
    agent = draft(api)
    reserved = new_id()
    published = agent_versions.publish(TenantStore("tenant_a", reserved), agent["id"], None)
    assert published.current_version_id == reserved
    assert store.get(keys.published(agent["id"], reserved))
    with pytest.raises(VersionConflict):
        agent_versions.publish(store, agent["id"], 1)


def test_agent_that_was_published_before_there_were_versions(
    api: Api, store: TenantStore, ran: Callable[[], Any]
) -> None:
    """Its record has no current version: runs go on using it as it stands."""
    agent = agents.get(store, draft(api)["id"]).model_copy(update={"status": "published"})
    item = agents.find(store, agent.id)
    store.write(Put(keys.agent(agent.id), agent.model_dump_json(), when=item.version, parts=item.parts))
    assert ran() == ("one", [], 1)
