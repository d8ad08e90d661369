"""Tenants: made, listed, changed and suspended by the operator of the platform; asked for by the authorizer."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared import clock
from shared.domain import tenants, usage
from shared.store import keys
from shared.store.table import TenantStore
from tests.unit.conftest import Requests
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize
from tests.unit.support.machine import WorkerDied

pytestmark = pytest.mark.covers(
    "POST /tenants", "GET /tenants", "GET /tenants/{tenant_id}", "PATCH /tenants/{tenant_id}"
)

OPERATOR = "tenants:read tenants:write"


@pytest.fixture
def operator(api: Api) -> Api:
    return api.as_(tenant="house", scopes=OPERATOR)


def said(key: str) -> dict[str, Any]:
    """The limits that the authorizer tells of a key."""
    answer = authorize(key)
    assert answer is not None
    limits: dict[str, Any] = json.loads(answer["context"]["limits"])
    return limits


def test_a_tenant_is_made_with_what_is_left_out(operator: Api) -> None:
    made = operator.make("/tenants", name="Acme")
    key = made.pop("admin_key")
    assert made == operator.get(f"/tenants/{made['id']}").json
    assert (made["status"], made["plan"], made["burst"], made["version"]) == ("active", "standard", None, 1)
    assert made["limits"] == {"requests": None, "runs": None, "tokens": None, "cost_usd": None}
    answer = authorize(key)
    assert answer is not None
    assert (answer["context"]["tenant_id"], answer["context"]["role"]) == (made["id"], "admin")


def test_the_key_of_the_first_administrator_is_shown_once(operator: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = operator.post("/tenants", {"name": "Acme"}, headers=headers)
    again = operator.post("/tenants", {"name": "Acme"}, headers=headers)
    assert first.headers["cache-control"] == "no-store"
    assert first.headers["location"] == f"/tenants/{first.json['id']}"
    assert again.json == first.json | {"admin_key": None}
    assert len(operator.get("/tenants").json) == 1


def test_a_taken_id_is_refused_and_nothing_changes(operator: Api) -> None:
    made = operator.make("/tenants", id="acme", name="Acme")
    answer = operator.post("/tenants", {"id": "acme", "name": "Other"})
    assert (answer.status, answer.code) == (409, "tenant_exists")
    assert operator.get("/tenants/acme").json["name"] == made["name"]
    assert len(Api(tenant="acme").get("/api-keys").json) == 1


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_second_try_after_a_crash_makes_no_second_tenant_and_no_second_key(
    operator: Api, faults: Faults, travel: Callable[[float], None], number: int, moment: Moment
) -> None:
    body, headers = {"id": "acme", "name": "Acme"}, {"Idempotency-Key": "crash"}
    faults.at(number, moment, die)
    with pytest.raises(WorkerDied):
        operator.post("/tenants", body, headers=headers)
    travel(36)
    assert operator.post("/tenants", body, headers=headers).status == 201
    assert len(operator.get("/tenants").json) == 1
    assert len(Api(tenant="acme").get("/api-keys").json) == 1


def test_tenants_are_listed_newest_first_as_they_are_now(operator: Api) -> None:
    for name in ("first", "second", "third"):
        operator.make("/tenants", id=name, name=name)
    operator.patch("/tenants/first", {"status": "suspended"})
    answer = operator.get("/tenants?limit=2")
    assert [tenant["id"] for tenant in answer.json] == ["third", "second"]
    rest = operator.get(f"/tenants?cursor={answer.headers['x-next-cursor']}").json
    assert rest == [operator.get("/tenants/first").json]
    assert rest[0]["status"] == "suspended"


def test_a_patch_changes_what_it_names(operator: Api) -> None:
    made = operator.make("/tenants", id="acme", name="Acme", burst=5, limits={"requests": ["5/minute"]})
    answer = operator.patch("/tenants/acme", {"plan": "free", "limits": {"cost_usd": "5.00/day"}, "burst": None})
    assert answer.status == 200
    limits = {"requests": None, "runs": None, "tokens": None, "cost_usd": "5.00/day"}
    changed = {"plan": "free", "limits": limits, "burst": None, "version": 2}
    made.pop("admin_key")
    assert answer.json == made | changed | {"updated_at": answer.json["updated_at"]}
    assert operator.patch("/tenants/acme", {"name": "B"}, headers={"If-Match": "1"}).code == "version_conflict"


@pytest.mark.parametrize("tenant_id", ["nobody", "_public", "_operator", "%23", "a" * 65])
def test_what_is_no_tenant_is_not_found(operator: Api, tenant_id: str) -> None:
    assert operator.get(f"/tenants/{tenant_id}").code == "not_found"
    assert operator.patch(f"/tenants/{tenant_id}", {"name": "x"}).code == "not_found"


@pytest.mark.parametrize(
    "field",
    [
        {"id": "_public"},
        {"id": "a#b"},
        {"id": ""},
        {"id": "a" * 65},
        {"plan": "gold"},
        {"burst": 0},
        {"limits": {"requests": ["10/week"]}},
        {"limits": {"requests": ["0/minute"]}},
        {"limits": {"requests": ["1/minute", "2/minute"]}},
        {"limits": {"requests": "10/minute"}},
        {"limits": {"tokens": "100/second"}},
        {"limits": {"cost_usd": "1.2345678/day"}},
        {"limits": {"memory": 1}},
    ],
)
def test_bad_fields_are_refused(operator: Api, field: dict[str, Any]) -> None:
    answer = operator.post("/tenants", {"name": "x"} | field)
    assert answer.status == 422
    assert operator.get("/tenants").json == []


def test_an_administrator_is_no_operator(api: Api) -> None:
    assert api.post("/tenants", {"name": "x"}).code == "scope_missing"
    assert api.get("/tenants/tenant_a").code == "scope_missing"


def test_a_suspended_tenants_keys_are_refused_once_its_standing_is_forgotten(
    operator: Api, travel: Callable[[float], None]
) -> None:
    key = operator.make("/tenants", id="acme", name="Acme")["admin_key"]
    assert authorize(key)
    operator.patch("/tenants/acme", {"status": "suspended"})
    assert authorize(key), "remembered for AUTHORIZER_CACHE_SECONDS"
    travel(61)
    assert authorize(key) is None
    operator.patch("/tenants/acme", {"status": "active"})
    travel(61)
    assert authorize(key)


def test_a_standing_costs_one_request_a_minute(operator: Api, requests: Requests) -> None:
    key = operator.make("/tenants", id="acme", name="Acme")["admin_key"]
    assert requests.of(lambda: authorize(key))[-1:] == ["GetItem"]
    assert requests.of(lambda: authorize(key)) == []


def test_what_no_limit_names_has_the_default_but_in_the_plan_unlimited(
    operator: Api, setting: Callable[[str, str | None], None]
) -> None:
    setting("RATE_LIMIT_DEFAULT", "7/second,100/day")
    setting("RATE_LIMIT_RUNS", "unlimited")
    for plan, limits, requests, runs in (
        ("free", {}, ["7/second", "100/day"], []),
        ("free", {"requests": [], "runs": ["3/hour"]}, [], ["3/hour"]),
        ("unlimited", {}, [], []),
        ("unlimited", {"requests": ["1/day"]}, ["1/day"], []),
    ):
        key = operator.make("/tenants", name="x", plan=plan, limits=limits)["admin_key"]
        assert said(key) == {"requests": requests, "runs": runs, "tokens": None, "cost_usd": None}


def test_a_boot_keys_tenant_needs_no_record(table: str, setting: Callable[[str, str | None], None]) -> None:
    setting("AUTH_API_KEYS", json.dumps({"boot": {"tenant_id": "nobody", "user_id": "u", "scopes": ["admin"]}}))
    assert said("boot") == {"requests": ["100/minute"], "runs": ["20/minute"], "tokens": None, "cost_usd": None}


@pytest.mark.parametrize("text", ["100", "100/week", "100/minute;1/day", "-1/minute"])
def test_a_limit_that_cannot_be_read_stops_the_start(
    table: str, setting: Callable[[str, str | None], None], text: str
) -> None:
    setting("RATE_LIMIT_DEFAULT", text)
    with pytest.raises(ValueError, match="RATE_LIMIT_DEFAULT"):
        tenants.standing("acme")


def test_the_writes_of_a_new_tenant_fit_any_transaction(table: str) -> None:
    store = TenantStore("acme")
    store.write(*tenants.new("acme", "Acme"))
    item = store.get(keys.TENANT)
    assert item is not None
    assert tenants.read(item).plan == "free"
    assert tenants.standing("acme").active


@pytest.mark.covers("GET /tenants/{tenant_id}/usage")
def test_usage_adds_up_the_newest_days(operator: Api, travel: Callable[[float], None]) -> None:
    operator.make("/tenants", id="acme", name="Acme", limits={"requests": ["100/day"]})
    acme = Api(tenant="acme", limits=json.dumps({"requests": ["100/day"], "runs": []}))
    store = TenantStore("acme")
    for calls, cost in ((2, "0.10"), (3, "0.000005")):
        for _ in range(calls):
            assert acme.get("/agents").status == 200
        ended = clock.now()
        store.write(
            usage.add(ended, "succeeded", prompt_tokens=10, completion_tokens=5, total_tokens=15, cost_usd=cost)
        )
        travel(86_400)
    found = operator.get("/tenants/acme/usage?days=3").json
    assert (found["calls"], found["runs"], found["total_tokens"], found["cost_usd"]) == (5, 2, 30, "0.100005")
    assert [day["calls"] for day in found["days"]] == [0, 3, 2]
    assert [day["date"] for day in found["days"]] == sorted((day["date"] for day in found["days"]), reverse=True)
    assert found["days"][2] | {"date": ""} == {
        "date": "",
        "calls": 2,
        "runs": 1,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
        "timed_out": 0,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cost_usd": "0.10",
    }
    assert operator.get("/tenants/acme/usage?days=2").json["calls"] == 3
    assert len(operator.get("/tenants/acme/usage").json["days"]) == 30


def test_what_an_unlimited_tenant_calls_is_not_known(operator: Api) -> None:
    operator.make("/tenants", id="acme", name="Acme", plan="unlimited")
    assert Api(tenant="acme").get("/agents").status == 200
    found = operator.get("/tenants/acme/usage").json
    assert (found["calls"], found["days"][0]["calls"], found["runs"], found["cost_usd"]) == (None, None, 0, "0")


@pytest.mark.parametrize("days", ["0", "91", "x"])
def test_usage_goes_back_90_days(operator: Api, days: str) -> None:
    operator.make("/tenants", id="acme", name="Acme")
    assert operator.get(f"/tenants/acme/usage?days={days}").status == 422
    assert operator.get("/tenants/nobody/usage").code == "not_found"
