"""Budgets: reserved before a model call, corrected after it, and the end of a run that has none left."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from shared.domain import budgets
from shared.domain.budgets import Budget
from shared.errors import LimitExceeded
from shared.store import counters
from shared.store.table import TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call, completion

pytestmark = [pytest.mark.usefixtures("machine"), pytest.mark.covers("POST /runs", "POST /api-keys", "POST /tenants")]

TASK = {"agent_id": "support", "input_message": "Hi"}


def capped(api: Api, **limits: str) -> Api:
    """The API as a tenant with these caps."""
    return api.as_(limits=json.dumps({"requests": [], "runs": []} | limits))


def used(store: TenantStore, name: str = "TOKENS") -> int:
    return sum(counters.totals(store, name, "2026-01-01").values())


def test_a_cap_counts_what_was_used_in_the_end(api: Api, store: TenantStore, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo")).says("done")
    run = runs.start(capped(api, tokens="10000/day", cost_usd="5.00/day"))
    assert (run["status"], run["total_tokens"]) == ("succeeded", 30)
    assert used(store) == 30
    assert used(store, "COST") == 20 * 150_000 + 10 * 600_000
    assert run["cost_usd"] == "0.000009"


def test_the_call_that_does_not_fit_ends_the_run_unmade(api: Api, store: TenantStore, model: ScriptedModel) -> None:
    runs.agent(api)
    for limits, stop_reason in (({"tokens": "50/day"}, "budget_tokens"), ({"cost_usd": "0.000001/day"}, "budget_cost")):
        run = runs.start(capped(api, **limits))
        assert (run["status"], run["stop_reason"]) == ("failed", stop_reason)
        assert run["error_message"].startswith(f"{stop_reason}: the tenant's budget of {next(iter(limits.values()))}")
    assert (used(store), used(store, "COST"), model.requests) == (0, 0, [])


def test_a_cap_lasts_for_its_window(api: Api, model: ScriptedModel, travel: Callable[[float], None]) -> None:
    runs.agent(api, llm_params={"max_tokens": 100})
    few = capped(api, tokens="300/hour")
    big = {"prompt_tokens": 90, "completion_tokens": 90, "total_tokens": 180}
    model.says("one", usage=big).says("two", usage=big)
    assert runs.start(few)["status"] == "succeeded"
    assert runs.start(few)["stop_reason"] == "budget_tokens"
    travel(3_600)
    assert runs.start(few)["status"] == "succeeded"


def test_the_answer_is_no_longer_than_what_is_left(api: Api, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("one").says("two").says("three")
    runs.start(capped(api, tokens="100000/day"))
    assert model.requests[-1]["max_completion_tokens"] == 4_096
    runs.start(capped(api, tokens="1000/day"))
    size = len(json.dumps([model.requests[-1]["messages"], []]).encode())
    assert model.requests[-1]["max_completion_tokens"] == 1_000 - 15 - size
    runs.start(api)
    assert "max_completion_tokens" not in model.requests[-1], "where no cap is set, nothing is changed"


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({"max_tokens": 300}, {"max_tokens": 300}),
        ({"max_completion_tokens": 300}, {"max_completion_tokens": 300}),
        ({"max_tokens": 90_000}, {"max_tokens": 1_000}),
    ],
)
def test_the_agents_own_limit_stays_if_it_is_lower(params: dict[str, int], sent: dict[str, int]) -> None:
    assert budgets.limited(params, 1_000, "openai") == sent
    assert budgets.limited({}, 1_000, "custom") == {"max_tokens": 1_000}
    assert budgets.limited(params, None, "openai") == params


def test_without_caps_nothing_is_asked(api: Api, model: ScriptedModel, requests: Requests) -> None:
    runs.agent(api)
    model.says("Hello")
    assert "UpdateItem" not in requests.of(lambda: runs.start(api))


def test_a_refused_call_gives_back_what_it_took(api: Api, store: TenantStore, model: ScriptedModel) -> None:
    runs.agent(api)
    model.fails(400)
    assert runs.start(capped(api, tokens="10000/day"))["stop_reason"] == "model_rejected"
    assert used(store) == 0


def test_a_worker_that_dies_leaves_its_reservation(
    api: Api, store: TenantStore, model: ScriptedModel, machine: Machine
) -> None:
    runs.agent(api, llm_params={"max_tokens": 500})

    def kill(request: dict[str, Any]) -> httpx2.Response:
        die()

    model.does(kill).says("Hello")
    assert runs.start(capped(api, tokens="10000/day"))["status"] == "succeeded"
    assert used(store) > 500 + 15


def test_what_the_provider_does_not_count_stays_reserved(api: Api, store: TenantStore, model: ScriptedModel) -> None:
    runs.agent(api, llm_params={"max_tokens": 500})
    model.answers(completion("Hello") | {"usage": None})
    runs.start(capped(api, tokens="10000/day"))
    assert used(store) > 500


def test_a_budget_that_is_full_gives_back_what_others_took(store: TenantStore) -> None:
    both = [*budgets.of_tenant("10000/day", None), *budgets.of_key("k", "50/day", None)]
    caps = budgets.Caps(both, None, None, None)
    with pytest.raises(LimitExceeded, match="budget_tokens: the key's"):
        budgets.reserve(store, caps, {}, ["x" * 100])
    assert (used(store), used(store, "TOKENS#KEY#k")) == (0, 0)


def test_a_run_has_a_cap_on_its_own_cost(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api), llm_params={"max_tokens": 100})
    usage = {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200}
    model.asks(call("echo"), usage=usage)
    run = runs.start(api, limits={"max_cost_usd": "0.00015"})
    assert (run["status"], run["stop_reason"], run["cost_usd"]) == ("failed", "max_cost_usd", "0.000075")
    assert float(run["cost_usd"]) <= 0.00015
    model.says("done", usage=usage)
    assert runs.start(api, limits={"max_cost_usd": "1"})["status"] == "succeeded"


def test_a_run_with_a_cap_on_tokens_bounds_each_answer(api: Api, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(call("echo")).says("done")
    runs.start(api, limits={"max_tokens": 1_000})
    assert [request["max_completion_tokens"] for request in model.requests] == [1_000, 985]


def test_a_cap_on_money_needs_a_price(
    api: Api, model: ScriptedModel, setting: Callable[[str, str | None], None]
) -> None:
    setting("CUSTOM_BASE_URL", "https://models.example/v1")
    setting("CUSTOM_API_KEY", "k")
    runs.agent(api, model="custom:llama")
    for caller, body in ((capped(api, cost_usd="1/day"), TASK), (api, TASK | {"limits": {"max_cost_usd": "1"}})):
        answer = caller.post("/runs", body)
        assert (answer.status, answer.code) == (422, "price_unknown")
        assert "custom:llama" in answer.json["detail"]
    model.says("Hello")
    assert runs.start(capped(api, tokens="10000/day"))["cost_usd"] is None


def test_a_keys_budget_follows_it_to_its_token_and_its_children(api: Api, table: str) -> None:
    limits = {"tokens": "1000/day", "cost_usd": "1.00/day"}
    made = api.make("/api-keys", scopes=["admin"], limits=limits)
    assert made["limits"] == limits
    (listed,) = api.get("/api-keys").json
    assert listed["limits"] == limits
    answer = authorize(made["key"])
    assert answer is not None
    drawn = budgets.of_text(answer["context"]["budgets"])
    key_id = made["key"].split("_")[2]
    assert [(budget.of, budget.unit, budget.limit) for budget in drawn] == [
        ("key", "tokens", "1000/day"),
        ("key", "cost", "1.00/day"),
    ]
    assert all(key_id in budget.name for budget in drawn)
    plain = authorize(api.make("/api-keys")["key"])
    assert plain is not None
    assert "budgets" not in plain["context"]


@pytest.mark.parametrize("limits", [{"tokens": "0/day"}, {"tokens": "5/second"}, {"cost_usd": "1"}, {"requests": []}])
def test_limits_of_a_key_have_their_form(api: Api, limits: dict[str, Any]) -> None:
    assert api.post("/api-keys", {"limits": limits}).status == 422


def test_a_key_with_a_budget_makes_keys_that_draw_on_it(api: Api) -> None:
    parent = budgets.of_key("parent", "1000/day", None)
    limited = api.as_(budgets=budgets.as_text(parent))
    answer = authorize(limited.make("/api-keys", limits={"tokens": "10/day"})["key"])
    assert answer is not None
    drawn: list[Budget] = budgets.of_text(answer["context"]["budgets"])
    assert drawn[0] == parent[0]
    assert drawn[1].limit == "10/day"


def test_runs_of_a_key_draw_on_its_budget(api: Api, store: TenantStore, model: ScriptedModel) -> None:
    runs.agent(api)
    limited = api.as_(budgets=budgets.as_text(budgets.of_key("k", "10000/day", None)))
    model.says("Hello")
    runs.start(limited)
    assert used(store, "TOKENS#KEY#k") == 15
    assert used(store) == 0


def test_a_crash_between_answer_and_log_reserves_anew(
    api: Api, store: TenantStore, model: ScriptedModel, faults: Faults
) -> None:
    runs.agent(api)
    model.says("Hello").says("Hello again")
    # The writes of the run: it begins, it ends.
    faults.at(1, "before", die)
    assert runs.start(capped(api, tokens="10000/day"))["status"] == "succeeded"
    assert used(store) == 30, "both calls were made"
