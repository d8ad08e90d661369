"""One run at a time in a session; the others are refused, or wait their turn."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.clients import aws
from shared.domain import session_queue
from shared.store import keys
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.faults import Faults, die
from tests.unit.support.gateway import Answer, Api, load
from tests.unit.support.machine import Machine, WorkerDied
from tests.unit.support.model import ScriptedModel

pytestmark = [
    pytest.mark.usefixtures("agent"),
    pytest.mark.covers("POST /runs", "GET /sessions/{session_id}", "POST /runs/{run_id}/cancel"),
]
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def agent(api: Api, machine: Machine) -> str:
    return runs.agent(api)


def begin(api: Api, session_id: str = "s-1", on_conflict: str = "enqueue", **headers: str) -> Answer:
    body = {"agent_id": "support", "input_message": "Hi", "session_id": session_id, "on_conflict": on_conflict}
    return api.post("/runs", body, headers=ASYNC | headers)


def status(api: Api, run_id: str) -> str:
    return str(api.get(f"/runs/{run_id}").json["status"])


@pytest.fixture
def stream(items: Callable[[], list[dict[str, Any]]]) -> Callable[[], list[str]]:
    """Gives the reader of the table's stream what waits to be begun, as the mapping's filter would.

    Returns the places from which it wants it again.
    """

    def deliver() -> list[str]:
        called = [item for item in items() if "called_at" in item.get("parts", {}).get("M", {})]
        records = [
            {"dynamodb": {"Keys": {"pk": item["pk"], "sk": item["sk"]}, "NewImage": item, "SequenceNumber": str(place)}}
            for place, item in enumerate(called)
        ]
        answer = load("runs/call_up").handler({"Records": records}, None)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]

    return deliver


def finish(machine: Machine, model: ScriptedModel, run_id: str, text: str = "done") -> None:
    (pointer,) = [each for each in machine.background if each["run_id"] == run_id]
    model.says(text)
    machine.execute(pointer)


def test_second_run_is_refused(api: Api) -> None:
    begin(api)
    for answer in (
        begin(api, on_conflict="reject"),
        api.post("/runs", {"agent_id": "support", "input_message": "x", "session_id": "s-1"}),
    ):
        assert (answer.status, answer.code) == (409, "session_busy")
    assert len(api.get("/runs").json) == 1
    assert begin(api, session_id="s-2", on_conflict="reject").status == 202


def test_queue(api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]) -> None:
    ids = [begin(api).json["id"] for _ in range(3)]
    assert [status(api, run_id) for run_id in ids] == ["running", "queued", "queued"]
    assert [pointer["run_id"] for pointer in machine.background] == ids[:1]
    waiting = api.get(f"/runs/{ids[1]}").json
    assert (waiting["started_at"], waiting["finished_at"]) == (None, None)
    assert api.get(f"/runs/{ids[1]}/events").json == []
    assert api.get(f"/runs/{ids[1]}?include=messages").json["messages"] == [{"role": "user", "content": "Hi"}]
    for n, run_id in enumerate(ids):
        stream()
        assert [status(api, each) for each in ids[n + 1 :]] == ["queued"] * (2 - n)
        finish(machine, model, run_id, f"answer {n}")
    assert [len(request["messages"]) for request in model.requests] == [1, 3, 5]
    shown = api.get("/sessions/s-1").json
    assert (shown["status"], shown["run_count"], shown["message_count"]) == ("idle", 3, 6)
    assert (shown["active_run_id"], shown["queued_run_ids"]) == (None, [])
    for run_id in ids:
        assert runs.names(runs.events(api, run_id))[0] == "start"
        assert api.get(f"/runs/{run_id}?include=messages").status == 200


def test_run_that_fails_lets_the_next_begin(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]
) -> None:
    first, second = (begin(api).json["id"] for _ in range(2))
    model.fails(401)
    machine.execute(machine.background[0])
    stream()
    assert [status(api, first), status(api, second)] == ["failed", "running"]


def test_request_that_is_waited_for_waits_in_the_queue_too(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]
) -> None:
    first = begin(api).json["id"]
    body = {"agent_id": "support", "input_message": "Hi", "session_id": "s-1", "on_conflict": "enqueue"}
    answer = api.post("/runs", body)
    assert (answer.status, answer.json["status"]) == (202, "queued")
    finish(machine, model, first)
    stream()
    finish(machine, model, answer.json["id"])
    assert status(api, answer.json["id"]) == "succeeded"


def test_at_most_twenty_wait(api: Api) -> None:
    answers = [begin(api) for _ in range(22)]
    assert [answer.status for answer in answers] == [202] * 21 + [409]
    assert answers[-1].code == "session_queue_full"
    assert len(api.get("/sessions/s-1").json["queued_run_ids"]) == session_queue.MAX_WAITING


def test_repeated_request_meets_its_own_run(api: Api, machine: Machine, store: TenantStore) -> None:
    """The first try is answered, or died after its write: in the lock, in the queue, or long ended."""
    for _ in range(2):
        first = begin(api, **{"Idempotency-Key": "a"})
        second = begin(api, **{"Idempotency-Key": "a"})
        assert (first.status, second.json["id"]) == (202, first.json["id"])
    assert len(api.get("/runs").json) == 1


@pytest.mark.parametrize("others", [0, 1])
def test_request_that_died_after_its_write_is_taken_up(
    api: Api, machine: Machine, faults: Faults, travel: Callable[[float], None], others: int
) -> None:
    for _ in range(others):
        begin(api)
    # 0 is the idempotency record, 1 the run with its place in the session.
    faults.at(1, "after", die)
    with pytest.raises(WorkerDied):
        begin(api, on_conflict="reject" if not others else "enqueue", **{"Idempotency-Key": "k"})
    travel(36)
    answer = begin(api, on_conflict="reject" if not others else "enqueue", **{"Idempotency-Key": "k"})
    assert (answer.status, answer.json["status"]) == (202, "queued" if others else "running")
    assert len(api.get("/runs").json) == 1 + others
    assert len(machine.background) == 1


def test_cancel_of_a_run_that_waits(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]
) -> None:
    ids = [begin(api).json["id"] for _ in range(3)]
    answer = api.post(f"/runs/{ids[1]}/cancel")
    assert (answer.status, answer.json["status"], answer.json["started_at"]) == (200, "cancelled", None)
    assert runs.names(runs.events(api, ids[1])) == ["start", "cancelled"]
    assert api.get(f"/runs/{ids[1]}?include=messages").status == 200
    assert machine.stopped == []
    assert api.post(f"/runs/{ids[1]}/cancel").code == "run_ended"
    finish(machine, model, ids[0])
    stream()
    assert status(api, ids[2]) == "running"


def test_cancel_of_a_run_that_was_called_and_has_not_begun(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]
) -> None:
    ids = [begin(api).json["id"] for _ in range(3)]
    finish(machine, model, ids[0])
    assert api.post(f"/runs/{ids[1]}/cancel").json["status"] == "cancelled"
    stream()
    assert [status(api, run_id) for run_id in ids] == ["succeeded", "cancelled", "running"]


def test_cancel_and_begin_of_one_run_have_one_winner(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None], faults: Faults
) -> None:
    ids = [begin(api).json["id"] for _ in range(2)]
    finish(machine, model, ids[0])
    faults.at(0, "before", stream)
    assert api.post(f"/runs/{ids[1]}/cancel").json["status"] == "cancelled"
    assert faults.happened == 1
    assert runs.names(runs.events(api, ids[1])) == ["start", "cancelled"]
    machine.execute(machine.background[1])
    assert len(model.requests) == 1


@pytest.mark.parametrize("moment", ["before", "after"])
def test_reader_of_the_stream_that_dies_is_given_its_records_again(
    api: Api,
    machine: Machine,
    model: ScriptedModel,
    stream: Callable[[], None],
    store: TenantStore,
    moment: Any,
    faults: Faults,
) -> None:
    first, second = (begin(api).json["id"] for _ in range(2))
    finish(machine, model, first)
    faults.at(0, moment, die)
    with pytest.raises(WorkerDied):
        stream()
    session_queue.call_up(store, second)
    session_queue.call_up(store, second)
    assert [pointer["run_id"] for pointer in machine.background] == [first, second]
    assert runs.names(api.get(f"/runs/{second}/events").json) == ["start"]


def test_reader_of_the_stream_goes_on_where_the_machine_failed(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], list[str]]
) -> None:
    ids = [begin(api, session_id=session).json["id"] for session in ("s-1", "s-2") for _ in range(2)]
    for run_id in (ids[0], ids[2]):
        finish(machine, model, run_id)
    machine.broken = True
    assert stream() == ["0"]
    machine.broken = False
    # The first was begun, so that it waits no more; its record stands in the stream all the same.
    session_queue.call_up(TenantStore("tenant_a"), ids[1])
    assert stream() == []
    assert [status(api, ids[1]), status(api, ids[3])] == ["running", "running"]
    assert sorted(pointer["run_id"] for pointer in machine.background) == sorted(ids)


def test_a_run_that_cannot_be_read_is_put_aside_and_the_next_one_begun(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], list[str]], table: str, parked: list[Any]
) -> None:
    ids = [begin(api, session_id=session).json["id"] for session in ("s-1", "s-2") for _ in range(2)]
    for run_id in (ids[0], ids[2]):
        finish(machine, model, run_id)
    place = {"pk": {"S": "TENANT#tenant_a#WAITING"}, "sk": {"S": ids[1]}}
    broken: Any = {":doc": {"S": "{}"}}
    aws.dynamodb().update_item(
        TableName=table, Key=place, UpdateExpression="SET doc = :doc", ExpressionAttributeValues=broken
    )
    assert stream() == []
    assert [letter["dynamodb"]["Keys"] for letter in parked] == [place]
    assert [status(api, ids[1]), status(api, ids[3])] == ["queued", "running"]


def test_nobody_is_called_out_of_turn(api: Api, machine: Machine, store: TenantStore) -> None:
    ids = [begin(api).json["id"] for _ in range(3)]
    for run_id in (*ids[1:], "nobody"):
        session_queue.call_up(store, run_id)
    assert [status(api, run_id) for run_id in ids] == ["running", "queued", "queued"]


def test_time_of_a_run_that_waits_begins_with_its_start(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None], travel: Callable[[float], None]
) -> None:
    first, second = (begin(api).json["id"] for _ in range(2))
    travel(100)
    finish(machine, model, first)
    stream()
    travel(100)
    assert status(api, second) == "running"
    finish(machine, model, second)
    assert status(api, second) == "succeeded"


def test_overdue_run_does_not_block_its_session(api: Api, machine: Machine, travel: Callable[[float], None]) -> None:
    first = begin(api).json["id"]
    travel(131)
    answer = begin(api, on_conflict="reject")
    assert (answer.status, answer.json["status"]) == (202, "running")
    assert status(api, first) == "timed_out"
    assert runs.names(runs.events(api, first)) == ["start", "error"]


@pytest.mark.parametrize("meets", ["the run that waits", "the session"])
def test_overdue_run_is_ended_by_whoever_looks(
    api: Api, machine: Machine, stream: Callable[[], None], travel: Callable[[float], None], meets: str
) -> None:
    first, second = (begin(api).json["id"] for _ in range(2))
    travel(131)
    api.get(f"/runs/{second}" if meets == "the run that waits" else "/sessions/s-1")
    stream()
    assert [status(api, first), status(api, second)] == ["timed_out", "running"]


def test_run_that_nobody_called_is_called_by_whoever_looks(
    api: Api, machine: Machine, model: ScriptedModel, travel: Callable[[float], None]
) -> None:
    """The stream's records were lost, as when the emulator is killed."""
    first, second = (begin(api).json["id"] for _ in range(2))
    finish(machine, model, first)
    assert status(api, second) == "queued"
    travel(6)
    assert status(api, second) == "running"
    assert len(machine.background) == 2


def test_run_that_named_no_session_is_joined_while_it_works(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None]
) -> None:
    first = api.post("/runs", {"agent_id": "support", "input_message": "one"}, headers=ASYNC).json
    assert first["session_id"] == first["id"]
    assert begin(api, first["id"], "reject").code == "session_busy"
    second = begin(api, first["id"]).json["id"]
    assert api.get(f"/sessions/{first['id']}").json["queued_run_ids"] == [second]
    finish(machine, model, first["id"], "answer one")
    stream()
    finish(machine, model, second, "answer two")
    said = api.get(f"/sessions/{first['id']}/messages").json
    assert [message["content"] for message in said] == ["one", "answer one", "Hi", "answer two"]


def test_end_and_join_of_one_run_at_the_same_moment(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None], faults: Faults
) -> None:
    first = api.post("/runs", {"agent_id": "support", "input_message": "one"}, headers=ASYNC).json["id"]
    faults.at(0, "before", lambda: begin(api, first))
    finish(machine, model, first, "answer one")
    assert faults.happened == 1
    stream()
    (second, _) = (run["id"] for run in api.get("/runs").json)
    assert status(api, second) == "running"
    assert api.get(f"/sessions/{first}").json["message_count"] == 2


def test_join_that_meets_the_end(api: Api, machine: Machine, model: ScriptedModel, faults: Faults) -> None:
    first = api.post("/runs", {"agent_id": "support", "input_message": "one"}, headers=ASYNC).json["id"]
    faults.at(0, "before", lambda: finish(machine, model, first, "answer one"))
    answer = begin(api, first)
    assert (faults.happened, answer.json["status"]) == (1, "running")
    assert api.get(f"/sessions/{first}").json["message_count"] == 2


def test_two_that_come_at_the_same_moment(api: Api, faults: Faults) -> None:
    seen: list[Answer] = []
    faults.at(0, "before", lambda: seen.append(begin(api)))
    answer = begin(api)
    assert [seen[0].json["status"], answer.json["status"]] == ["running", "queued"]


def test_nothing_is_left_of_a_queue(
    api: Api, machine: Machine, model: ScriptedModel, stream: Callable[[], None], store: TenantStore
) -> None:
    ids = [begin(api).json["id"] for _ in range(2)]
    finish(machine, model, ids[0])
    stream()
    assert store.query(keys.waiting_run("x").partition, limit=None).items == []
