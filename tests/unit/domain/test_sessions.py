"""Sessions: a conversation across runs."""

from typing import Any

import pytest

from tests.unit.support import runs
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call

pytestmark = [
    pytest.mark.usefixtures("machine"),
    pytest.mark.covers(
        "GET /sessions",
        "GET /sessions/{session_id}",
        "DELETE /sessions/{session_id}",
        "GET /sessions/{session_id}/messages",
    ),
]


def spoken(request: dict[str, Any]) -> list[tuple[str, str]]:
    """Who said what, without the instructions."""
    return [(each["role"], each["content"]) for each in request["messages"] if each["role"] != "system"]


def test_session_carries_the_conversation(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, system_prompt="Be kind.")
    for n in range(3):
        model.says(f"answer {n}")
        run = runs.start(api, f"question {n}", session_id="s-1")
        assert run["session_id"] == "s-1"
    assert spoken(model.requests[2]) == [
        ("user", "question 0"),
        ("assistant", "answer 0"),
        ("user", "question 1"),
        ("assistant", "answer 1"),
        ("user", "question 2"),
    ]
    shown = api.get(f"/runs/{run['id']}?include=messages").json["messages"]
    assert shown[:-1] == model.requests[2]["messages"]


def test_runs_without_a_session_share_nothing(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    sessions = set()
    for n in range(2):
        model.says("answer")
        sessions.add(runs.start(api, f"question {n}")["session_id"])
    assert spoken(model.requests[1]) == [("user", "question 1")]
    assert len(sessions) == 2


def test_session_that_a_run_got_can_be_continued(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1")
    first = runs.start(api, "question 0")
    runs.start(api, "question 1", session_id=first["session_id"])
    assert spoken(model.requests[1])[0] == ("user", "question 0")


def test_session_belongs_to_its_tenant(api: Api, other: Api, model: ScriptedModel) -> None:
    for tenant in (api, other):
        runs.agent(tenant)
        model.says("answer")
        runs.start(tenant, tenant.tenant, session_id="s-1")
    assert spoken(model.requests[1]) == [("user", "tenant_b")]


def test_failed_run_is_no_turn(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.fails(401).says("answer")
    runs.start(api, "question 0", session_id="s-1")
    runs.start(api, "question 1", session_id="s-1")
    assert spoken(model.requests[1]) == [("user", "question 1")]


def test_tool_calls_of_earlier_turns_are_not_repeated_to_the_model(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo", {"text": "x"})).says("answer 0").says("answer 1")
    runs.start(api, "question 0", session_id="s-1")
    runs.start(api, "question 1", session_id="s-1")
    assert [role for role, _ in spoken(model.requests[2])] == ["user", "assistant", "user"]


def test_history_is_the_newest_twenty_turns(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    for n in range(22):
        model.says(f"answer {n}")
        runs.start(api, f"question {n}", session_id="s-1")
    said = spoken(model.requests[21])
    assert (said[0], said[-1]) == (("user", "question 1"), ("user", "question 21"))
    assert len(said) == 2 * 20 + 1


def test_history_ends_where_it_grows_too_long(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    for text in ("a" * 50_000, "b" * 20_000, "c" * 20_000):
        model.says("ok")
        runs.start(api, text, session_id="s-1")
    assert [text[:1] for _, text in spoken(model.requests[2])] == ["b", "o", "c"]


def test_history_of_a_run_is_what_came_before_it(api: Api, model: ScriptedModel) -> None:
    """Also long afterwards, when more has been said."""
    runs.agent(api)
    made = []
    for n in range(3):
        model.says(f"answer {n}")
        made.append(runs.start(api, f"question {n}", session_id="s-1"))
    shown = [api.get(f"/runs/{run['id']}?include=messages").json["messages"] for run in made]
    assert [len(messages) for messages in shown] == [2, 4, 6]
    assert shown[2][:4] == shown[1]


def test_session_of_a_run_that_named_none(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer")
    run = runs.start(api, "A long   question\nof two lines")
    assert run["session_id"] == run["id"]
    shown = api.get(f"/sessions/{run['id']}").json
    assert (shown["title"], shown["status"]) == ("A long question of two lines", "idle")
    assert (shown["run_count"], shown["message_count"]) == (1, 2)
    assert api.get("/sessions").json == []
    said = api.get(f"/sessions/{run['id']}/messages").json
    assert said == [
        {"role": "user", "content": run["input_message"], "run_id": run["id"], "created_at": run["created_at"]},
        {"role": "assistant", "content": "answer", "run_id": run["id"], "created_at": run["finished_at"]},
    ]


def test_session_that_is_joined_is_listed(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1")
    first = runs.start(api, "question 0")
    runs.start(api, "question 1", session_id=first["id"])
    (shown,) = api.get("/sessions").json
    assert shown == api.get(f"/sessions/{first['id']}").json
    assert (shown["title"], shown["run_count"], shown["message_count"]) == ("question 0", 2, 4)
    assert shown["created_at"] == first["created_at"]


def test_run_that_failed_can_be_joined(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.fails(401).says("answer")
    first = runs.start(api, "question 0")
    assert api.get(f"/sessions/{first['id']}/messages").json == []
    runs.start(api, "question 1", session_id=first["id"])
    assert [each["content"] for each in api.get(f"/sessions/{first['id']}/messages").json] == ["question 1", "answer"]


def test_name_that_is_the_id_of_another_sessions_run_is_a_name(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1")
    first = runs.start(api, "question 0", session_id="s-1")
    assert api.get(f"/sessions/{first['id']}").status == 404
    runs.start(api, "question 1", session_id=first["id"])
    assert spoken(model.requests[1]) == [("user", "question 1")]


def test_sessions_are_listed_newest_first(api: Api, other: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    for n in range(5):
        model.says("answer")
        runs.start(api, f"question {n}", session_id=f"s-{n}")
    model.says("answer")
    runs.start(api, "again", session_id="s-0")
    assert [each["id"] for each in api.get("/sessions").json] == [f"s-{n}" for n in (4, 3, 2, 1, 0)]
    found, path = [], "/sessions?limit=2"
    while path:
        answer = api.get(path)
        found += [each["id"] for each in answer.json]
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert found == [f"s-{n}" for n in (4, 3, 2, 1, 0)]
    assert other.get("/sessions").json == []
    assert other.get("/sessions/s-1").status == other.get("/sessions/s-1/messages").status == 404


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("own", [True, False])
def test_pages_of_messages(api: Api, model: ScriptedModel, size: int, own: bool) -> None:
    runs.agent(api)
    count = 1 if own else 4
    for n in range(count):
        model.says(f"answer {n}")
        run = runs.start(api, f"question {n}", **({} if own else {"session_id": "s-1"}))
    session = run["session_id"]
    expected = [text for n in range(count) for text in (f"question {n}", f"answer {n}")]
    found, path = [], f"/sessions/{session}/messages?limit={size}"
    while path:
        answer = api.get(path)
        assert len(answer.json) <= size
        found += [each["content"] for each in answer.json]
        path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert found == expected
    for n in range(5):
        page = api.get(f"/sessions/{session}/messages?offset={n * size}&limit={size}").json
        assert [each["content"] for each in page] == expected[n * size : (n + 1) * size]


def test_foreign_cursor_in_messages(api: Api, model: ScriptedModel) -> None:
    """A cursor of another list leads nowhere in particular, and breaks nothing."""
    runs.agent(api)
    for n in range(3):
        model.says(f"answer {n}")
        runs.start(api, f"question {n}", session_id="s-1")
    cursor = api.get("/runs?limit=1").headers["x-next-cursor"]
    assert api.get(f"/sessions/s-1/messages?cursor={cursor}").status == 200


def test_deleted_session_is_gone_and_its_runs_stay(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0")
    run = runs.start(api, "question 0", session_id="s-1")
    assert api.delete("/sessions/s-1").status == 204
    for path in ("/sessions/s-1", "/sessions/s-1/messages"):
        assert api.get(path).status == 404
    assert api.get("/sessions").json == []
    assert api.delete("/sessions/s-1").status == 404
    assert api.get(f"/runs/{run['id']}").json == run


def test_session_made_anew_knows_nothing_of_the_old(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1").says("answer 2")
    runs.start(api, "question 0", session_id="s-1")
    api.delete("/sessions/s-1")
    for n in (1, 2):
        runs.start(api, f"question {n}", session_id="s-1")
    assert spoken(model.requests[1]) == [("user", "question 1")]
    assert len(spoken(model.requests[2])) == 3
    said = [each["content"] for each in api.get("/sessions/s-1/messages").json]
    assert said == ["question 1", "answer 1", "question 2", "answer 2"]
    (shown,) = api.get("/sessions").json
    assert (shown["title"], shown["run_count"]) == ("question 1", 2)


def test_session_of_one_run_can_be_deleted(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1")
    first = runs.start(api, "question 0")
    path = f"/sessions/{first['id']}"
    assert api.delete(path).status == 204
    assert api.get(path).status == api.get(f"{path}/messages").status == api.delete(path).status == 404
    runs.start(api, "question 1", session_id=first["id"])
    assert spoken(model.requests[1]) == [("user", "question 1")]
    assert [each["content"] for each in api.get(f"{path}/messages").json] == ["question 1", "answer 1"]


@pytest.mark.parametrize("named", [True, False])
def test_busy_session_is_not_deleted(api: Api, machine: Machine, named: bool) -> None:
    runs.agent(api)
    machine.waits = False
    body = {"agent_id": "support", "input_message": "Hi"} | ({"session_id": "s-1"} if named else {})
    run = api.post("/runs", body).json
    answer = api.delete(f"/sessions/{run['session_id']}")
    assert (answer.status, answer.code) == (409, "session_busy")
    assert api.get(f"/sessions/{run['session_id']}").json["status"] == "busy"


def test_run_that_begins_under_the_deletion_wins(
    api: Api, machine: Machine, model: ScriptedModel, faults: Faults
) -> None:
    runs.agent(api)
    model.says("answer 0").says("answer 1")
    runs.start(api, "question 0", session_id="s-1")
    faults.at(0, "before", lambda: runs.start(api, "question 1", session_id="s-1"))
    assert api.delete("/sessions/s-1").status == 409
    assert api.get("/sessions/s-1").json["run_count"] == 2


def test_tool_run_has_no_session(api: Api, machine: Machine) -> None:
    run = api.post(f"/tools/{runs.internal(api)}/execute", {"args": {"text": "x"}}).json
    assert api.get(f"/sessions/{run['id']}").status == 404
