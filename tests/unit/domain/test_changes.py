"""The reader of the table's stream: what it cannot read it puts aside, what it cannot write comes again."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from shared.clients import aws, dead_letters
from shared.errors import TableBusy, Unavailable
from shared.store import run_log
from shared.store import stream as table_stream
from shared.store.stream import Written
from shared.store.table import TenantStore
from tests.unit.support.gateway import Api
from tests.unit.support.table_stream import Record, TableStream, matches, patterns


def image(**fields: Any) -> dict[str, Any]:
    return {"pk": {"S": "TENANT#tenant_a#AGENT"}, "sk": {"S": "1"}, "doc": {"S": "{}"}, "version": {"N": "1"}} | fields


def record(pk: str = "TENANT#tenant_a#AGENT", **images: Any) -> Record:
    keys = {"pk": {"S": pk}, "sk": {"S": "1"}}
    return {"eventName": "MODIFY", "dynamodb": {"Keys": keys, "SequenceNumber": "7", **images}}


RUN_OPEN = image(doc={"S": '{"finished_at": null}'})
POISON = {
    "a stamp that is no JSON": record(NewImage=image(by={"S": "{"})),
    "a stamp of too few words": record(NewImage=image(by={"S": '["1"]'})),
    "a stamp of too many words": record(NewImage=image(by={"S": json.dumps(["1"] * 20)})),
    "a stamp without an id": record(NewImage=image(by={"S": json.dumps(["x"] * 8)})),
    "a stamp that is no list": record(NewImage=image(by={"S": "1"})),
    "a stamp that is no text": record(NewImage=image(by={"N": "1"})),
    "an item without its version": record(NewImage={"doc": {"S": "{}"}, "sk": {"S": "1"}}),
    "a run that is none": record("TENANT#tenant_a#RUN", OldImage=RUN_OPEN, NewImage=image(doc={"S": "[]"})),
    "events that are none": record("TENANT#tenant_a#RUN#1", NewImage=image(sk={"S": "EVENT#x"}, doc={"S": "[{}]"})),
    "a partition without a tenant": record("TENANT#", NewImage=image()),
    "no keys": {"dynamodb": {"SequenceNumber": "7"}},
}


@pytest.mark.parametrize("poison", POISON.values(), ids=list(POISON))
def test_what_cannot_be_read_is_put_aside_and_the_rest_goes_on(
    api: Api, stream: TableStream, parked: list[Any], poison: Record
) -> None:
    api.make("/agents", name="before")
    api.make("/agents", name="behind")
    first, last = stream.wanted()
    assert stream.deliver([first, poison, last]) == {"batchItemFailures": []}
    assert len(api.get("/audit").json) == 2
    assert parked == [json.loads(json.dumps(poison))]


def test_a_record_whose_figures_cannot_be_made_is_still_audited(
    api: Api, stream: TableStream, parked: list[Any]
) -> None:
    api.make("/agents", name="x")
    (made,) = stream.wanted()
    stamp = made["dynamodb"]["NewImage"]["by"]
    broken = record("TENANT#tenant_a#RUN", OldImage=RUN_OPEN, NewImage=image(doc={"S": "{}"}, by=stamp))
    stream.deliver([broken])
    assert len(api.get("/audit").json) == 1
    assert len(parked) == 1


@pytest.mark.parametrize(
    "nothing",
    [
        record("KEY#1", NewImage=image()),
        record(OldImage=image(by={"S": "x"})),
        record(OldImage=image(by={"S": "x"}), NewImage=image(by={"S": "x"}, doc={"S": "[]"})),
        record(NewImage=image()),
        record("TENANT#tenant_a#RUN", NewImage=image()),
        record("TENANT#tenant_a#USAGE", NewImage={"sk": {"S": "1"}, "runs": {"N": "1"}}),
    ],
    ids=["outside all tenants", "removed", "stamp left standing", "no stamp", "a new run", "amounts"],
)
def test_what_has_no_consequence(stream: TableStream, parked: list[Any], nothing: Record) -> None:
    assert stream.deliver([nothing]) == {"batchItemFailures": []}
    assert (stream.records, parked) == ([], [])


def test_a_dead_letter_that_cannot_be_sent_comes_again(
    api: Api, stream: TableStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(dead_letters, "park", fail)
    poison = POISON["a stamp that is no JSON"]
    assert stream.deliver([poison]) == {"batchItemFailures": [{"itemIdentifier": "7"}]}


class Queue:
    """SQS on paper."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send_message(self, **message: Any) -> None:
        self.sent.append(message)


@pytest.mark.parametrize("size", [10, 390_000])
def test_dead_letters_fit_a_message(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    queue = Queue()
    monkeypatch.setattr(aws, "sqs", lambda: queue)
    monkeypatch.setenv("AUDIT_DEAD_LETTERS", "https://queue.example")
    dead_letters.park(record(NewImage=image(doc={"S": "ü" * size})), "why", "AUDIT_DEAD_LETTERS")
    (message,) = queue.sent
    assert message["QueueUrl"] == "https://queue.example"
    assert len(message["MessageBody"].encode()) < 256 * 1024
    letter = json.loads(message["MessageBody"])
    assert letter["reason"] == "why"
    assert letter["record"]["dynamodb"]["Keys"]["pk"] == {"S": "TENANT#tenant_a#AGENT"}
    assert ("NewImage" in letter["record"]["dynamodb"]) == (size == 10)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TableBusy("throttled"), True),
        (Unavailable("no machine"), True),
        (EndpointConnectionError(endpoint_url="https://x"), True),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutItem"), True),
        (ClientError({"Error": {"Code": "ValidationException"}}, "PutItem"), False),
        (ValueError("no number"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_our_own_trouble_comes_again_and_a_records_own_is_parked(
    parked: list[Any], error: Exception, again: bool
) -> None:
    def act(written: Written) -> None:
        raise error

    answer = table_stream.follow([record(NewImage=image())], act, "AUDIT_DEAD_LETTERS")
    assert answer == {"batchItemFailures": [{"itemIdentifier": "7"}] if again else []}
    assert len(parked) == (not again)


def test_the_filters_know_the_ends_of_calls_from_other_events(store: TenantStore, stream: TableStream) -> None:
    data = {"tool_call_id": "c", "name": "echo"}
    for number, name in enumerate(("start", "tool.started", "tool.completed", "usage", "tool.error", "result")):
        store.write(run_log.append("r", number, [(name, data)]))
    assert [json.loads(one["dynamodb"]["NewImage"]["doc"]["S"])[0]["event"] for one in stream.wanted()] == [
        "tool.completed",
        "tool.error",
    ]


def test_the_filters_let_nothing_else_through() -> None:
    for quiet in (record(NewImage=image()), record("TENANT#tenant_a#RUN#1", NewImage=image(doc={"S": "[]"}))):
        assert not any(matches(quiet, pattern) for pattern in patterns())
    removed = record("TENANT#tenant_a#RUN", OldImage=image()) | {"eventName": "REMOVE"}
    assert not any(matches(removed, pattern) for pattern in patterns())
