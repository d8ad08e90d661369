"""Sessions: a conversation across runs."""

from typing import Any

import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call

pytestmark = pytest.mark.usefixtures("machine")


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
