"""The log of an agent: in order, from all sources, page by page, to be followed, and with an end to everything."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import agent_logs
from shared.store.ids import new_id
from shared.store.table import TenantStore
from tests.unit.support import runs, tarballs, uploads
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

Items = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def agent(api: Api) -> str:
    return str(api.make("/agents", name="parrot", kind="code")["id"])


def write(store: TenantStore, agent: str, *messages: str, run_id: str | None = None) -> None:
    lines = [agent_logs.line(message) for message in messages]
    store.write(*agent_logs.batches(agent, "runtime", lines, {"execution_id": run_id}, run_id))


def messages(api: Api, path: str) -> list[str]:
    answer = api.get(path)
    assert answer.status == 200, answer.text
    return [line["message"] for line in answer.json]


def test_builds_runs_and_clients_write_into_one_log(api: Api, store: TenantStore, agent: str) -> None:
    version = uploads.built(api, agent, tarballs.agent())
    write(store, agent, "one", "two")
    made = api.post(f"/agents/{agent}/logs", {"message": "mine", "level": "WARNING", "metadata": {"a": 1}})
    assert made.status == 201
    found = api.get(f"/logs/{agent}").json
    assert [line["source"] for line in found] == [*["build"] * 4, "runtime", "runtime", "client"]
    assert found[-1] == made.json
    assert (found[-1]["level"], found[-1]["metadata"]) == ("WARNING", {"a": 1})
    assert found[0]["metadata"] == {"version_id": version["id"], "version": "v1", "status": "ready"}
    assert [line["timestamp"] for line in found] == sorted(line["timestamp"] for line in found)
    assert api.get(f"/agents/{agent}/logs").json == api.get("/logs/parrot").json == found


def test_an_agent_with_a_model_has_a_log_too(api: Api) -> None:
    api.make("/agents", name="model")
    assert messages(api, "/logs/model") == []
    api.post("/agents/model/logs", {"message": "hello"})
    assert messages(api, "/logs/model") == ["hello"]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_pages_give_every_line_once_and_in_order(api: Api, store: TenantStore, agent: str, limit: int) -> None:
    written = [f"{batch}.{number}" for batch in range(4) for number in range(batch + 1)]
    for batch in range(4):
        write(store, agent, *(line for line in written if line.startswith(f"{batch}.")))
    found: list[str] = []
    path: str | None = f"/logs/{agent}?limit={limit}"
    while path:
        answer = api.get(path)
        found += [line["message"] for line in answer.json]
        cursor = answer.headers.get("x-next-cursor")
        path = f"/logs/{agent}?limit={limit}&cursor={cursor}" if cursor else None
    assert found == written
    assert messages(api, f"/logs/{agent}?offset=2&limit=3") == written[2:5]


def test_a_log_is_followed_by_the_last_line_seen(api: Api, store: TenantStore, agent: str) -> None:
    write(store, agent, "a", "b", "c")
    seen = api.get(f"/logs/{agent}").json
    assert messages(api, f"/logs/{agent}?after={seen[0]['id']}") == ["b", "c"]
    assert messages(api, f"/logs/{agent}?after={seen[2]['id']}") == []
    write(store, agent, "d")
    assert messages(api, f"/logs/{agent}?after={seen[2]['id']}") == ["d"]
    assert messages(api, f"/logs/{agent}?after={seen[0]['id']}&limit=1") == ["b"]
    for wrong in ("x", new_id(), f"{new_id()}.0", "-" * 36 + ".00"):
        answer = api.get(f"/logs/{agent}?after={wrong}")
        assert (answer.status, answer.code) == (400, "invalid_after")


def test_a_run_has_its_lines_by_itself(api: Api, store: TenantStore, machine: Machine, model: ScriptedModel) -> None:
    made = runs.agent(api, name="model")
    model.says("Hello")
    run = runs.start(api, "x", agent_id="model")
    write(store, made, "of the run", run_id=run["id"])
    write(store, made, "of another")
    assert messages(api, f"/logs/executions/{run['id']}/logs") == ["of the run"]
    assert messages(api, "/logs/model") == ["of the run", "of another"]
    assert api.get(f"/logs/executions/{new_id()}/logs").status == 404


def test_logs_are_the_tenants_own(api: Api, other: Api, store: TenantStore, agent: str) -> None:
    write(store, agent, "secret")
    for path in (f"/logs/{agent}", f"/agents/{agent}/logs"):
        assert other.get(path).status == 404
    assert other.post(f"/agents/{agent}/logs", {"message": "x"}).status == 404
    assert api.as_(scopes="agents:read").post(f"/agents/{agent}/logs", {"message": "x"}).status == 403


@pytest.mark.parametrize(
    "draft",
    [
        {},
        {"message": ""},
        {"message": "x" * 2_001},
        {"message": "x", "level": "LOUD"},
        {"message": "x", "source": "build"},
    ],
)
def test_wrong_lines_are_refused(api: Api, agent: str, draft: dict[str, Any]) -> None:
    assert api.post(f"/agents/{agent}/logs", draft).status == 422


def test_lines_have_an_end(store: TenantStore, agent: str, api: Api) -> None:
    write(store, agent, *("x" * 3_000 for _ in range(1_200)))
    found: list[Any] = []
    while page := api.get(f"/logs/{agent}?limit=100" + (f"&after={found[-1]['id']}" if found else "")).json:
        found += page
    assert len(found) == 1_000
    assert {len(line["message"]) for line in found[:-1]} == {2_000}
    assert found[-1]["message"] == "201 more lines are left out."


def test_control_characters_do_not_come_out(store: TenantStore, agent: str, api: Api) -> None:
    write(store, agent, "red \x1b[31m\x00\r\n\tend")
    assert messages(api, f"/logs/{agent}") == ["red \ufffd[31m\ufffd\ufffd\ufffd\tend"]


def test_lines_are_kept_for_their_days(store: TenantStore, agent: str, items: Items) -> None:
    before = {item["sk"]["S"] for item in items()}
    write(store, agent, "x")
    (item,) = [item for item in items() if item["sk"]["S"] not in before]
    assert int(item["expires_at"]["N"]) > 0
