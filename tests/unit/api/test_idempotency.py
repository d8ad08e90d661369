"""`Idempotency-Key`: one effect, however often the request comes, and wherever its first try died.

The writes of such a request: 0 takes the key, 1 is the effect, 2 keeps the answer.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import agents
from tests.unit.support import runs
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.machine import Machine, WorkerDied
from tests.unit.support.model import ScriptedModel

KEY = {"Idempotency-Key": "k-1"}
LEASE_SECONDS = 35
Travel = Callable[[float], None]
Items = Callable[[], list[dict[str, Any]]]


def create(api: Api, path: str = "/agents", headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    return api.post(path, {"name": "x"} | fields, headers=headers or KEY)


def test_second_request_gets_the_first_answer(api: Api) -> None:
    first, second = create(api), create(api)
    assert (second.status, second.text) == (first.status, first.text) == (201, first.text)
    assert second.headers.pop("idempotency-replayed") == "true"
    assert second.headers.pop("x-trace-id") != first.headers.pop("x-trace-id")
    assert second.headers == first.headers
    assert len(api.get("/agents").json) == 1


def test_answer_is_the_first_one_whatever_happened_since(api: Api) -> None:
    first = create(api)
    api.patch("/agents/x", {"role": "new"})
    assert create(api).text == first.text
    api.delete("/agents/x")
    assert create(api).text == first.text
    assert api.get("/agents").json == []


def test_another_body_is_refused(api: Api) -> None:
    create(api)
    answer = create(api, role="other")
    assert (answer.status, answer.code) == (422, "idempotency_key_reused")
    assert api.get("/agents/x").json["role"] == ""


def test_without_a_key_nothing_is_replayed(api: Api, items: Items) -> None:
    for status in (201, 409):
        assert api.post("/agents", {"name": "x"}).status == status
    assert not [item for item in items() if "IDEMPOTENCY" in str(item)]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "GET", "DELETE"])
def test_other_methods_take_no_key(api: Api, items: Items, method: str) -> None:
    api.make("/agents", name="x")
    body = [{"name": "x"}] if method in {"PUT", "PATCH"} else []
    assert api.call(method, "/agents/x", *body, headers=KEY).status < 300
    assert not [item for item in items() if "IDEMPOTENCY" in str(item)]


@pytest.mark.parametrize("value", ["", "x" * 256, "a\nb", "a\x00", "\ud800", "\u202e"])
def test_keys_that_are_refused(api: Api, value: str) -> None:
    answer = create(api, headers={"Idempotency-Key": value})
    assert (answer.status, answer.code) == (400, "invalid_idempotency_key")
    assert api.get("/agents").json == []


@pytest.mark.parametrize("value", ["x", "x" * 255, "ü", "a b", "#/../", "01900000-0000-7000-8000-000000000000"])
@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key"])
def test_keys_that_are_taken(api: Api, value: str, header: str) -> None:
    assert create(api, headers={header: value}).text == create(api, headers={header: value}).text


def test_keys_are_apart_by_tenant_user_and_operation(api: Api, other: Api) -> None:
    made = [
        create(api),
        create(other),
        create(api.as_(user="user_9"), name="y"),
        create(api, "/tools"),
        create(other.as_(user="user_1"), name="y"),
    ]
    assert [answer.status for answer in made] == [201] * 5
    assert len({answer.json["id"] for answer in made}) == 5


def test_keys_are_apart_by_path(api: Api) -> None:
    for name in ("a", "b"):
        runs.agent(api, name=name)
    runs.internal(api)
    bound = [api.post(f"/agents/{name}/tools/echo", {}, headers=KEY) for name in ("a", "b")]
    assert bound[0].json["agent_id"] != bound[1].json["agent_id"]


@pytest.mark.parametrize("number", [1, 2])
def test_request_in_flight(api: Api, faults: Faults, number: int) -> None:
    """A copy arrives before the effect of the first, and before its answer is kept."""
    seen: list[Answer] = []
    faults.at(number, "before", lambda: seen.append(create(api)))
    assert create(api).status == 201
    (answer,) = seen
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (409, "in_flight", "1")
    assert len(api.get("/agents").json) == 1


def test_two_copies_at_the_same_moment(api: Api, faults: Faults) -> None:
    seen: list[Answer] = []
    faults.at(0, "before", lambda: seen.append(create(api)))
    assert create(api).text == seen[0].text
    assert len(api.get("/agents").json) == 1


MAKING = [
    ("/agents", {"name": "x"}),
    ("/tools", {"name": "x"}),
    ("/agents/support/tools/echo", {}),
    ("/api-keys", {"name": "x"}),
]


@pytest.mark.parametrize(("number", "moment"), [(0, "after"), (1, "before"), (1, "after"), (2, "before"), (2, "after")])
@pytest.mark.parametrize(("path", "body"), MAKING, ids=[path for path, _ in MAKING])
def test_death_around_any_write(
    api: Api, faults: Faults, travel: Travel, things: Items, path: str, body: Any, number: int, moment: Moment
) -> None:
    """The environment is killed. The next try waits for the lease, then meets the effect of the first or has it."""
    runs.agent(api)
    runs.internal(api)
    before = len(things())
    faults.at(number, moment, die)
    with pytest.raises(WorkerDied):
        api.post(path, body, headers=KEY)
    if number < 2 or moment == "before":
        assert api.post(path, body, headers=KEY).code == "in_flight"
        travel(LEASE_SECONDS + 1)
    again = api.post(path, body, headers=KEY)
    assert again.status in {201, 200}
    assert api.post(path, body, headers=KEY).json["id"] == again.json["id"]
    # The record of the key and what was made: two items each, but for the binding, which is a part of its agent.
    assert len(things()) == before + (2 if "support" in path else 3)


@pytest.mark.parametrize("path", ["/agents", "/tools"])
def test_error_after_the_effect(api: Api, faults: Faults, path: str) -> None:
    """A 500 says nothing about the effect, so the next try may come at once; it meets the first one's."""

    def fail() -> None:
        raise RuntimeError("x")

    faults.at(1, "after", fail)
    assert create(api, path).status == 500
    (made,) = api.get(path).json
    again = create(api, path)
    assert (again.status, again.json) == (201, made)
    assert api.get(path).json == [made]


def test_effect_of_the_first_try_is_met_under_its_name(api: Api, faults: Faults, travel: Travel) -> None:
    """The name is taken by the first try itself; had another taken it, it would be a conflict."""
    faults.at(1, "before", die)
    with pytest.raises(WorkerDied):
        create(api)
    theirs = api.make("/agents", name="x")
    travel(LEASE_SECONDS + 1)
    assert create(api).code == "name_taken"
    assert api.get("/agents").json == [theirs]


def test_run_that_was_begun_goes_on(
    api: Api, machine: Machine, model: ScriptedModel, faults: Faults, travel: Travel
) -> None:
    runs.agent(api)
    body = {"agent_id": "support", "input_message": "Hi"}
    faults.at(1, "after", die)
    with pytest.raises(WorkerDied):
        api.post("/runs", body, headers=KEY)
    (begun,) = api.get("/runs").json
    travel(LEASE_SECONDS + 1)
    model.says("ok")
    again = api.post("/runs", body, headers=KEY)
    assert (again.status, again.json["id"], again.json["status"]) == (201, begun["id"], "succeeded")
    assert api.post("/runs", body, headers=KEY).text == again.text
    assert len(api.get("/runs").json) == 1
    assert [pointer["run_id"] for pointer in machine.pointers] == [begun["id"]]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [({"name": ""}, 422), ({"name": "taken"}, 409), ({"tool_ids": ["01900000-0000-7000-8000-000000000000"]}, 404)],
)
def test_refusal_is_forgotten(api: Api, wrong: dict[str, Any], status: int) -> None:
    api.make("/agents", name="taken")
    assert create(api, **wrong).status == status
    assert create(api).status == 201


def test_refusal_for_want_of_a_scope_is_forgotten(api: Api, things: Items) -> None:
    assert create(api.as_(scopes="agents:read")).status == 403
    assert things() == []
    assert create(api).status == 201


def test_malformed_body_takes_no_key(api: Api, things: Items) -> None:
    assert api.post("/agents", raw="{", headers=KEY).status == 400
    assert things() == []


def test_secret_is_shown_once_and_kept_nowhere(api: Api, items: Items) -> None:
    first, second = create(api, "/api-keys"), create(api, "/api-keys")
    secret = first.json["key"]
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json | {"key": None}
    assert secret not in str(items())
    assert len(api.get("/api-keys").json) == 1


def test_record_ends_after_a_day(api: Api, travel: Travel) -> None:
    create(api)
    travel(24 * 3_600 - 5)
    assert create(api, role="other").status == 422
    travel(10)
    answer = create(api, name="y")
    assert (answer.status, answer.json["name"]) == (201, "y")
    assert create(api, name="y").text == answer.text


def test_record_is_removed_by_the_table_in_time(api: Api, items: Items) -> None:
    create(api)
    (record,) = [item for item in items() if "IDEMPOTENCY" in item["pk"]["S"]]
    assert int(record["expires_at"]["N"]) == json.loads(record["doc"]["S"])["expires_at"]
    assert "k-1" not in str(record)


def test_one_of_two_takes_over_from_the_dead(api: Api, faults: Faults, travel: Travel) -> None:
    faults.at(0, "after", die)
    with pytest.raises(WorkerDied):
        create(api)
    travel(LEASE_SECONDS + 1)
    seen: list[Answer] = []
    faults.at(1, "before", lambda: seen.append(create(api)))
    late = create(api)
    assert (seen[0].status, late.status, late.code) == (201, 409, "in_flight")
    assert len(api.get("/agents").json) == 1


def test_slow_request_that_was_taken_over(api: Api, faults: Faults, travel: Travel) -> None:
    """It was thought dead and was not: both have one effect, and the answer kept is the one of who took over."""
    seen: list[Answer] = []

    def overtaken() -> None:
        travel(LEASE_SECONDS + 1)
        seen.append(create(api))

    faults.at(1, "before", overtaken)
    slow = create(api)
    assert (slow.status, seen[0].status) == (201, 201)
    assert slow.json == seen[0].json == create(api).json
    assert len(api.get("/agents").json) == 1


def test_next_request_without_a_key_gets_an_id_of_its_own(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("x")

    with monkeypatch.context() as broken:
        broken.setattr(agents, "create", refuse)
        assert create(api).status == 500
    first = api.make("/agents", name="y")
    assert create(api).json["id"] != first["id"]
