"""The rate limit of a binding: counted before anything is sent, once for each call."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import limits
from shared.store import counters
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.server import ToolServer

pytestmark = [
    pytest.mark.usefixtures("machine"),
    pytest.mark.covers("POST /agents/{agent_ref}/tools/{tool_ref}"),
]


def bound(api: Api, limit: str, **tool: Any) -> tuple[str, str]:
    """The agent `support` with the tool `lookup` under this limit; returns their ids."""
    tool_id = runs.webhook(api, **tool)
    agent_id = runs.agent(api)
    assert api.post(f"/agents/support/tools/{tool_id}", {"rate_limit": limit}).status == 201
    return agent_id, tool_id


def counted(store: TenantStore, agent_id: str, tool_id: str) -> int:
    return sum(counters.totals(store, limits.of_binding(agent_id, tool_id), "2026-01-01").values())


def test_the_call_over_the_limit_is_told_to_the_model_and_not_sent(
    api: Api, model: ScriptedModel, server: ToolServer
) -> None:
    bound(api, "2/day")
    model.asks(call("lookup", id="c1"), call("lookup", id="c2"), call("lookup", id="c3")).says("done")
    run = runs.start(api)
    assert (run["status"], [called["status"] for called in run["tools_called"]]) == (
        "succeeded",
        ["succeeded", "succeeded", "failed"],
    )
    (error,) = runs.named(runs.events(api, run["id"]), "tool.error")
    assert error["code"] == "rate_limited"
    assert len(server.requests) == 2
    assert "2/day" in error["error"]


def test_the_limit_holds_over_runs_and_ends_with_its_window(
    api: Api, model: ScriptedModel, server: ToolServer, travel: Callable[[float], None]
) -> None:
    bound(api, "1/hour")
    for _ in range(3):
        model.asks(call("lookup")).says("done")
    assert [runs.start(api)["tools_called"][0]["status"] for _ in range(2)] == ["succeeded", "failed"]
    travel(3_600)
    assert runs.start(api)["tools_called"][0]["status"] == "succeeded"
    assert len(server.requests) == 2


def test_a_call_that_is_refused_before_it_is_sent_does_not_count(
    api: Api, store: TenantStore, model: ScriptedModel
) -> None:
    agent_id, tool_id = bound(api, "1/day")
    model.asks(call("lookup", "no json")).says("done")
    assert runs.start(api)["tools_called"][0]["status"] == "failed"
    assert counted(store, agent_id, tool_id) == 0


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_repetition_after_a_crash_does_not_count_twice(
    api: Api, store: TenantStore, model: ScriptedModel, server: ToolServer, faults: Faults, idempotent: bool
) -> None:
    agent_id, tool_id = bound(api, "1/day", idempotent=idempotent)
    model.asks(call("lookup")).says("done")
    # The writes of the run: it begins, the model asks, the call starts, the call ends.
    faults.at(3, "before", die)
    run = runs.start(api)
    assert faults.happened == 1
    assert run["tools_called"][0]["status"] == ("succeeded" if idempotent else "unknown")
    assert len(server.requests) == (2 if idempotent else 1)
    assert counted(store, agent_id, tool_id) == 1


def test_without_a_limit_nothing_is_asked(
    api: Api, store: TenantStore, model: ScriptedModel, server: ToolServer
) -> None:
    tool_id = runs.webhook(api)
    agent_id = runs.agent(api, tool_id)
    model.asks(call("lookup")).says("done")
    runs.start(api)
    assert counted(store, agent_id, tool_id) == 0
