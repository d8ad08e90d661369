"""Limits at the edge: what counts, what a refusal says, and what it costs."""

import json
from collections.abc import Callable

from shared.domain import limits
from shared.store import counters
from shared.store.table import TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

RATE = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


def limited(api: Api, requests: list[str], runs: list[str] | None = None) -> Api:
    return api.as_(limits=json.dumps({"requests": requests, "runs": runs or []}))


def test_the_request_over_the_limit_is_refused_with_the_time_to_wait(api: Api) -> None:
    few = limited(api, ["2/day"])
    assert [few.get("/agents").headers["x-ratelimit-remaining"] for _ in range(2)] == ["1", "0"]
    refused = few.get("/agents")
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert refused.headers["x-ratelimit-limit"] == "2"
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    assert int(refused.headers["x-ratelimit-reset"]) % 86_400 == 0


def test_the_limit_begins_anew_with_its_window(api: Api, travel: Callable[[float], None]) -> None:
    few = limited(api, ["1/hour"])
    assert few.get("/agents").status == 200
    wait = int(few.get("/agents").headers["retry-after"])
    travel(wait + 0.5)
    assert few.get("/agents").status == 200


def test_every_answer_of_a_limited_tenant_says_how_it_stands(api: Api) -> None:
    few = limited(api, ["100/day"])
    for answer, status in (
        (few.post("/agents", {"name": "x"}), 201),
        (few.get("/agents/x"), 200),
        (few.get("/agents/nobody"), 404),
        (few.post("/agents", {"name": "x"}), 409),
        (few.post("/agents", {"nonsense": 1}), 422),
        (few.post("/agents", raw="{"), 400),
        (few.as_(scopes="").get("/agents"), 403),
        (few.delete("/agents/x"), 204),
    ):
        assert answer.status == status
        assert answer.headers.keys() >= RATE
    assert few.get("/agents").headers["x-ratelimit-remaining"] == "91", "refused requests count, too"


def test_an_unlimited_tenant_asks_nothing_and_hears_nothing(api: Api, requests: Requests) -> None:
    assert not RATE & api.get("/agents").headers.keys()
    assert requests.of(lambda: api.get("/agents")) == ["Query"]
    assert requests.of(lambda: limited(api, ["9/minute", "9/day"]).get("/agents"))[-1] == "Query"
    assert requests.of(lambda: limited(api, ["9/minute", "9/day"]).get("/agents")) == ["UpdateItem", "Query"]


def test_a_refused_request_has_no_effect_and_keeps_its_idempotency_key(
    api: Api, travel: Callable[[float], None]
) -> None:
    few, headers = limited(api, ["1/hour"]), {"Idempotency-Key": "k"}
    few.get("/agents")
    refused = few.post("/agents", {"name": "x"}, headers=headers)
    assert refused.status == 429
    assert api.get("/agents").json == []
    travel(int(refused.headers["retry-after"]) + 0.5)
    assert few.post("/agents", {"name": "x"}, headers=headers).status == 201


def test_tenants_count_apart(api: Api, other: Api) -> None:
    assert limited(api, ["1/day"]).get("/agents").status == 200
    assert limited(api, ["1/day"]).get("/agents").status == 429
    assert limited(other, ["1/day"]).get("/agents").status == 200


def test_runs_have_a_limit_of_their_own(api: Api, model: ScriptedModel, machine: Machine) -> None:
    runs.agent(api)
    model.says("Hello").says("Hello")
    few = limited(api, [], ["2/day"])
    task = {"agent_id": "support", "input_message": "Hi"}
    assert few.post("/runs", task).headers["x-ratelimit-remaining"] == "1"
    few.get("/runs")
    assert few.post("/runs", task).headers["x-ratelimit-remaining"] == "0"
    assert few.post("/runs", task).code == "rate_limited"
    assert len(few.get("/runs").json) == 2


def test_the_replay_of_a_run_is_no_run(api: Api, model: ScriptedModel, machine: Machine) -> None:
    runs.agent(api)
    model.says("Hello")
    few, task = limited(api, [], ["1/day"]), {"agent_id": "support", "input_message": "Hi"}
    headers = {"Idempotency-Key": "k"}
    first = few.post("/runs", task, headers=headers)
    assert first.status == 201
    again = few.post("/runs", task, headers=headers)
    assert (again.status, again.json) == (201, first.json)
    refused = few.post("/runs", task, headers={"Idempotency-Key": "other"})
    assert refused.status == 429
    again = few.post("/runs", task, headers={"Idempotency-Key": "other"})
    assert again.status == 429, "forgotten, not in flight"


def test_what_was_accepted_in_a_day_is_counted(api: Api, store: TenantStore) -> None:
    few = limited(api, ["3/day"])
    for _ in range(5):
        few.get("/agents")
    assert list(counters.totals(store, limits.REQUESTS, "2026-01-01").values()) == [3]
