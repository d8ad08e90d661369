"""The audit: one record for every change that is in the table, and one for every call that was refused."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.errors import TableBusy, Unavailable
from shared.store import keys
from shared.store.ids import is_id
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.audit import found
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.table_stream import TableStream

pytestmark = pytest.mark.covers("GET /audit")
Items = Callable[[], list[dict[str, Any]]]
KEY = {"Idempotency-Key": "k"}


def seen(api: Api) -> list[tuple[str, str, int | None]]:
    """What was done and what came of it, oldest first."""
    return [(record["action"], record["outcome"], record["status"]) for record in found(api)][::-1]


def test_a_change_is_recorded_from_the_stream(api: Api, stream: TableStream) -> None:
    before = datetime.now(UTC)
    agent_id = api.make("/agents", name="support", system_prompt="a-rare-word")["id"]
    assert found(api) == []
    answer = api.patch(f"/agents/{agent_id}?x=another-rare-word", {"role": "r"}, headers={"X-Trace-Id": "trace-1"})
    assert answer.status == 200
    stream.deliver()
    changed, made = found(api)
    assert is_id(changed.pop("id"))
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(changed.pop("created_at")) <= datetime.now(UTC)
    assert changed == {
        "tenant_id": "tenant_a",
        "actor": {"user_id": "user_1", "key_id": "key_1"},
        "action": "update_agent",
        "method": "PATCH",
        "path": f"/agents/{agent_id}",
        "outcome": "succeeded",
        "status": None,
        "code": None,
        "trace_id": "trace-1",
        "source_ip": "203.0.113.7",
    }
    assert (made["action"], made["path"]) == ("create_agent", "/agents")
    assert "rare-word" not in json.dumps([made, changed])


def changes(api: Api, machine: Machine, model: ScriptedModel) -> int:
    """A bit of everything that changes something; returns how many calls it was."""
    tool_id = runs.internal(api)
    agent_id = runs.agent(api, tool_id)
    model.asks(call("echo", {"text": "x"})).says("done")
    runs.start(api, agent_id=agent_id)
    answers = [
        api.put(f"/agents/{agent_id}", {"name": "renamed"}),
        api.delete(f"/agents/{agent_id}/tools/{tool_id}"),
        api.post(f"/agents/{agent_id}/tools/{tool_id}", {}),
        api.post("/api-keys", {"name": "ci"}, headers=KEY),
        api.delete(f"/agents/{agent_id}"),
        api.delete(f"/tools/{tool_id}"),
    ]
    assert all(answer.status < 300 for answer in answers)
    return len(answers) + 3


def test_every_change_has_one_record_however_often_the_stream_is_given(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel, parked: list[Any]
) -> None:
    count = changes(api, machine, model)
    assert stream.deliver(times=10) == {"batchItemFailures": []}
    assert len(found(api)) == count
    assert {record["outcome"] for record in found(api)} == {"succeeded"}
    assert parked == []


@pytest.mark.parametrize("seed", range(5))
def test_every_change_has_one_record_in_whatever_order_the_stream_is_given(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel, seed: int
) -> None:
    count = changes(api, machine, model)
    stream.deliver_astray(seed)
    assert len(found(api)) == count


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("lost", [False, True])
def test_the_reader_goes_on_where_a_write_failed(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel, faults: Faults, number: int, lost: bool
) -> None:
    def fail() -> None:
        raise TableBusy("ProvisionedThroughputExceededException")

    count = changes(api, machine, model)
    faults.at(number, "after" if lost else "before", fail)
    (failure,) = stream.deliver()["batchItemFailures"]
    places = [record["dynamodb"]["SequenceNumber"] for record in stream.wanted()]
    rest = stream.wanted()[places.index(failure["itemIdentifier"]) :]
    assert faults.happened == 1
    assert stream.deliver(rest) == {"batchItemFailures": []}
    assert len(found(api)) == count


def test_what_the_reader_writes_does_not_come_back_to_it(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel
) -> None:
    changes(api, machine, model)
    wanted = stream.wanted()
    stream.deliver(wanted)
    assert stream.wanted() == wanted
    assert len(stream.records) > len(wanted)


def stamped(items: Items) -> list[str]:
    """The partitions of the items that carry stamps."""
    return sorted(item["pk"]["S"].split("#", 2)[2] for item in items() if "by" in item)


def test_workers_and_keys_of_idempotency_leave_no_stamp(
    api: Api, items: Items, machine: Machine, model: ScriptedModel
) -> None:
    machine.waits = False
    runs.agent(api)
    model.says("done")
    api.post("/runs", {"agent_id": "support", "input_message": "Hi"}, headers=KEY)
    assert stamped(items) == ["AGENT", "RUN"]
    machine.execute(machine.pointers[0])
    assert stamped(items) == ["AGENT"]


def test_a_later_change_by_a_worker_is_not_taken_for_the_first_callers(
    api: Api, stream: TableStream, machine: Machine, model: ScriptedModel
) -> None:
    machine.waits = False
    runs.agent(api)
    model.says("done")
    api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    count = len(stream.records)
    machine.execute(machine.pointers[0])
    stream.deliver(stream.records[count:])
    assert found(api) == []


@pytest.mark.parametrize(
    ("scopes", "method", "path", "body", "status", "code"),
    [
        ("agents:read", "POST", "/agents", {"name": "x"}, 403, "scope_missing"),
        ("admin", "POST", "/agents", {"nonsense": 1}, 422, "validation_error"),
        ("admin", "POST", "/agents", {"name": "support"}, 409, "name_taken"),
        ("admin", "DELETE", "/agents/nobody", None, 404, "not_found"),
        ("admin", "PATCH", "/agents/support", [1], 422, "validation_error"),
        ("tools:read", "GET", "/agents", None, 403, "scope_missing"),
    ],
)
def test_a_refusal_is_recorded_at_once(
    api: Api, stream: TableStream, scopes: str, method: str, path: str, body: Any, status: int, code: str
) -> None:
    api.make("/agents", name="support")
    caller = api.as_(scopes=scopes, user="user_2")
    answer = caller.call(method, path, body) if body is not None else caller.call(method, path)
    assert (answer.status, answer.code) == (status, code)
    (record,) = found(api)
    assert (record["outcome"], record["status"], record["code"]) == ("refused", status, code)
    assert (record["method"], record["path"], record["actor"]["user_id"]) == (method, path, "user_2")
    assert record["trace_id"] == answer.json["trace_id"]
    stream.deliver()
    assert len(found(api)) == 2


def test_malformed_bodies_are_recorded(api: Api) -> None:
    assert api.post("/agents", raw="{").status == 400
    assert api.post("/agents", raw='{"name": "x"}', headers={"Idempotency-Key": ""}).status == 400
    assert seen(api) == [("create_agent", "refused", 400)] * 2


def test_reads_that_find_nothing_are_not_recorded(api: Api) -> None:
    assert api.get("/agents/nobody").status == 404
    assert api.get("/agents?limit=nonsense").status == 422
    assert found(api) == []


def test_a_call_that_changes_nothing_is_recorded_by_its_answer(api: Api, stream: TableStream) -> None:
    key_id = api.make("/api-keys")["id"]
    for _ in range(2):
        assert api.delete(f"/api-keys/{key_id}").status == 204
    stream.deliver()
    assert seen(api) == [
        ("create_api_key", "succeeded", None),
        ("revoke_api_key", "succeeded", None),
        ("revoke_api_key", "succeeded", 204),
    ]


def test_an_answer_given_again_is_told_from_the_change(api: Api, stream: TableStream) -> None:
    for _ in range(3):
        assert api.post("/agents", {"name": "x"}, headers=KEY).status == 201
    stream.deliver()
    assert [(record["status"], record["code"]) for record in found(api)] == [(201, "replayed")] * 2 + [(None, None)]


@pytest.mark.parametrize("first", ["stream", "answer"])
def test_a_call_that_failed_behind_its_change_has_one_record(
    api: Api, stream: TableStream, machine: Machine, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    def unavailable(pointer: dict[str, str]) -> bool:
        if first == "stream":
            stream.deliver()
        raise Unavailable("The run could not be started; try again.")

    runs.agent(api)
    monkeypatch.setattr("shared.clients.machines.run_and_wait", unavailable)
    assert api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).status == 503
    stream.deliver()
    assert seen(api) == [("create_agent", "succeeded", None), ("start_run", "failed", 503)]


def test_an_unexpected_failure_is_recorded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("shared.domain.agents.create", fail)
    assert api.post("/agents", {"name": "x"}).status == 500
    (record,) = found(api)
    assert (record["outcome"], record["status"], record["code"]) == ("failed", 500, "internal_error")


def test_an_answer_stands_though_its_record_cannot_be_written(
    api: Api, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise TableBusy("ThrottlingException")

    faults.at(0, "before", fail)
    assert api.as_(scopes="").post("/agents", {"name": "x"}).status == 403
    assert faults.happened == 1
    (line,) = [record for record in caplog.records if record.getMessage() == "audit record not written"]
    assert json.loads(vars(line)["audit_record"])["code"] == "scope_missing"


def test_who_shows_no_key_is_in_no_tenants_audit(api: Api, items: Items) -> None:
    answer = api.call("POST", "/agents", {"name": "x"}, requestContext={"stage": "live"})
    assert (answer.status, items()) == (401, [])


REGISTERED = {"email": "ann@example.com", "username": "ann", "password": "correct horse"}


def test_what_happens_on_public_routes_is_in_the_audit_of_whom_it_is_about(api: Api, items: Items) -> None:
    ann = api.post("/auth/register", REGISTERED).json
    assert api.post("/auth/login", {"username": "ann", "password": "wrong horse"}).status == 401
    tokens = api.post("/auth/login", {"username": "ann", "password": "correct horse"}).json
    assert api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 200
    assert api.post("/auth/refresh", {"refresh_token": tokens["refresh_token"]}).status == 401
    (tenant,) = {item["pk"]["S"].split("#")[1] for item in items() if item["pk"]["S"].endswith("#USER")}
    home = api.as_(tenant=tenant, user=ann["id"])
    assert seen(home) == [
        ("register_user", "succeeded", 201),
        ("log_in", "refused", 401),
        ("log_in", "succeeded", 200),
        ("refresh_tokens", "succeeded", 200),
        ("refresh_tokens", "refused", 401),
    ]
    assert {record["actor"]["user_id"] for record in found(home)} == {ann["id"]}
    assert {record["source_ip"] for record in found(home)} == {"203.0.113.7"}
    assert "horse" not in str([item for item in items() if item["pk"]["S"].endswith("#AUDIT")])


def test_a_name_of_nobody_is_in_no_tenants_audit_and_costs_the_same(api: Api, requests: Requests) -> None:
    api.post("/auth/register", REGISTERED)
    right = requests.of(lambda: api.post("/auth/login", {"username": "ann", "password": "wrong horse"}))
    nobody = requests.of(lambda: api.post("/auth/login", {"username": "bob", "password": "wrong horse"}))
    assert right == nobody
    assert found(api) == []


def test_a_key_that_is_exchanged_is_named(api: Api) -> None:
    key = api.make("/api-keys", name="ci")["key"]
    assert api.post("/auth/token", {"api_key": key}).status == 200
    (record,) = found(api)
    assert (record["action"], record["outcome"]) == ("exchange_key", "succeeded")
    assert record["actor"]["key_id"] == key.split("_")[2]
    wrong = key[:-1] + ("x" if key[-1] != "x" else "y")
    assert api.post("/auth/token", {"api_key": wrong}).status == 401
    assert len(found(api)) == 1


def test_other_tenants_see_nothing(api: Api, other: Api, stream: TableStream) -> None:
    api.make("/agents", name="support")
    api.post("/agents", {"nonsense": 1})
    stream.deliver()
    ids = [record["id"] for record in found(api)]
    assert len(ids) == 2
    assert found(other) == []
    assert found(other, "&user_id=user_1&path=/agents") == []
    assert api.as_(scopes="agents:write").get("/audit").code == "scope_missing"


def test_records_end_after_their_time(api: Api, items: Items, setting: Callable[[str, str | None], None]) -> None:
    setting("AUDIT_RETENTION_DAYS", "10")
    api.post("/agents", {"nonsense": 1})
    (record,) = items()
    made = datetime.fromisoformat(json.loads(record["doc"]["S"])["created_at"])
    assert int(record["expires_at"]["N"]) == int((made + timedelta(days=10)).timestamp())


def test_paths_are_cut(api: Api) -> None:
    assert api.delete("/agents/" + "x" * 500).status == 404
    (record,) = found(api)
    assert len(record["path"]) == 300


def test_nothing_above_the_store_can_write_a_stamp_of_its_own(api: Api, items: Items) -> None:
    """Stamps come from the edge; a body that says `by` is a body."""
    assert api.post("/agents", {"name": "x", "by": "me"}).status == 422
    assert [item["sk"]["S"] for item in items()] == [keys.audit(found(api)[0]["id"]).sort]
