"""Dead letters: what is parked waits, its cause is mended, and the operator's command brings it back, to one effect."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.deploy import client
from local.runtime import Runtime
from tests.integration.neighbours import Neighbours, says
from tests.integration.operator_commands import done, run
from tests.integration.running import new_tenant

pytestmark = pytest.mark.covers("POST /runs", "GET /audit", "POST /tenants")
# The readers of the table's stream come to our records behind those of all tests before.
_PATIENCE_SECONDS = 240


def eventually(read: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not wanted(value := read()):
        assert time.monotonic() < deadline, f"still {value}"
        time.sleep(0.05)
    return value


class Letters:
    """A queue of dead letters."""

    def __init__(self, platform: Runtime, name: str) -> None:
        self.sqs = client("sqs", platform.emulator_url)
        self.platform, self.name = platform, name
        self.address = platform.stack.resources[name]

    def emptied(self) -> "Letters":
        """Without what other tests left."""
        self.sqs.purge_queue(QueueUrl=self.address)
        return self

    def count(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.address, AttributeNames=names)["Attributes"]
        return sum(int(value) for value in found.values())

    def redriven(self) -> str:
        """The last line of the command."""
        return done(self.platform, "redrive", "--queue", self.name, "--yes").strip().rpartition("\n")[2]


def update(platform: Runtime, partition: str, sort: str, change: str, **values: str) -> None:
    """Change an item behind the platform's back."""
    client("dynamodb", platform.emulator_url).update_item(
        TableName=platform.stack.resources["Table"],
        Key={"pk": {"S": partition}, "sk": {"S": sort}},
        UpdateExpression=change,
        **({"ExpressionAttributeValues": {f":{name}": {"S": text} for name, text in values.items()}} if values else {}),
    )


def item(platform: Runtime, partition: str, sort: str) -> Any:
    key = {"pk": {"S": partition}, "sk": {"S": sort}}
    table = platform.stack.resources["Table"]
    return client("dynamodb", platform.emulator_url).get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]


def test_a_run_that_could_not_be_begun_is_begun_once_its_record_is_mended(
    platform: Runtime, api: httpx.Client, neighbours: Neighbours
) -> None:
    letters = Letters(platform, "CallUpDeadLetters").emptied()
    agent, gate = f"redrive-{uuid.uuid4().hex[:8]}", f"/tool/gate/{uuid.uuid4().hex}"
    neighbours.script[agent] = [says("first", gate=gate), says("second"), says("one too many")]
    api.post("/agents", json={"name": agent, "model": f"custom:{agent}"}).raise_for_status()
    task = {"agent_id": agent, "input_message": "go", "session_id": agent, "on_conflict": "enqueue"}
    first, second = (api.post("/runs", json=task, headers={"Prefer": "respond-async"}).json()["id"] for _ in range(2))
    place = ("TENANT#tenant_mine#WAITING", second)
    whole = item(platform, *place)["doc"]["S"]
    update(platform, *place, "SET doc = :doc", doc="{}")
    neighbours.gate(gate).set()
    eventually(letters.count, lambda count: count == 1)
    shown = done(platform, "redrive", "--queue", "CallUpDeadLetters")
    assert f"TENANT#tenant_mine#WAITING / {second}" in shown
    assert "Nothing was brought back" in shown
    assert "brought back, 1 left" in letters.redriven(), "its cause is not mended"
    assert letters.count() == 1
    # Without its call, so that the stream does not say it again.
    update(platform, *place, "SET doc = :doc REMOVE parts.called_at", doc=whole)

    def status() -> str:
        # Through the API it would be called up when it is overdue.
        return str(json.loads(item(platform, "TENANT#tenant_mine#RUN", second)["doc"]["S"])["status"])

    assert status() == "queued"
    assert letters.redriven() == "1 brought back, 0 left."
    assert status() in {"running", "succeeded"}
    eventually(status, lambda found: found == "succeeded")
    assert letters.redriven() == "0 brought back, 0 left."
    events = [event["event"] for event in api.get(f"/runs/{second}/events").json()]
    assert events == ["start", "message.completed", "usage", "result"]
    assert api.get(f"/runs/{first}").json()["status"] == "succeeded"


def test_what_cannot_even_be_parked_is_given_again(platform: Runtime, api: httpx.Client) -> None:
    letters = Letters(platform, "AuditDeadLetters").emptied()
    functions = client("lambda", platform.emulator_url)

    def result() -> str:
        (mapping,) = [
            one
            for one in functions.list_event_source_mappings()["EventSourceMappings"]
            if platform.stack.resources["AuditRecord"] in one["FunctionArn"].split(":")
        ]
        return str(mapping["LastProcessingResult"])

    letters.sqs.delete_queue(QueueUrl=letters.address)
    try:
        poison = {"doc": {"S": "{}"}, "version": {"N": "1"}, "by": {"S": "{"}}
        place = {"pk": {"S": "TENANT#x#AGENT"}, "sk": {"S": uuid.uuid4().hex}}
        client("dynamodb", platform.emulator_url).put_item(
            TableName=platform.stack.resources["Table"], Item=place | poison
        )
        trace = uuid.uuid4().hex
        api.post("/agents", json={"name": trace}, headers={"X-Trace-Id": trace}).raise_for_status()
        eventually(result, lambda said: said == "FAILED")
    finally:
        letters.sqs.create_queue(QueueName=letters.address.rpartition("/")[2])
    eventually(letters.count, lambda count: count == 1)
    eventually(lambda: [one for one in api.get("/audit").json() if one["trace_id"] == trace], bool)
    letters.emptied()


def test_what_lambda_gave_up_is_taken_from_the_stream_again(platform: Runtime, api: httpx.Client) -> None:
    letters = Letters(platform, "AuditDeadLetters").emptied()
    name = f"redriven-{uuid.uuid4().hex[:8]}"
    made = api.post("/agents", json={"name": name}, headers={"X-Trace-Id": name}).json()

    def told() -> list[Any]:
        return [one for one in api.get("/audit?limit=100").json() if one["trace_id"] == name]

    (record,) = eventually(told, bool)
    table = platform.stack.resources["Table"]
    key = {"pk": {"S": "TENANT#tenant_mine#AUDIT"}, "sk": {"S": record["id"]}}
    client("dynamodb", platform.emulator_url).delete_item(TableName=table, Key=key)
    assert told() == []
    streams = client("dynamodbstreams", platform.emulator_url)
    (stream,) = streams.list_streams(TableName=table)["Streams"]
    shards = streams.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    shard, number = _place(streams, stream["StreamArn"], shards, made["id"])
    info = {"shardId": shard, "startSequenceNumber": number, "endSequenceNumber": number, "batchSize": 1}

    def letter(arn: str) -> str:
        given_up = {"requestContext": {"condition": "RetryAttemptsExhausted"}}
        return json.dumps(given_up | {"DDBStreamBatchInfo": info | {"streamArn": arn}})

    for _ in range(2):
        letters.sqs.send_message(QueueUrl=letters.address, MessageBody=letter(stream["StreamArn"]))
        assert letters.redriven() == "1 brought back, 0 left."
        assert [one["id"] for one in told()] == [record["id"]]
    # A record of ours that was too large for a message: what stands in the table says as much.
    client("dynamodb", platform.emulator_url).delete_item(TableName=table, Key=key)
    keys = {"pk": {"S": "TENANT#tenant_mine#AGENT"}, "sk": {"S": made["id"]}}
    small = {"eventName": "INSERT", "dynamodb": {"Keys": keys, "SequenceNumber": number}}
    letters.sqs.send_message(QueueUrl=letters.address, MessageBody=json.dumps({"reason": "large", "record": small}))
    assert letters.redriven() == "1 brought back, 0 left."
    assert [one["id"] for one in told()] == [record["id"]]
    letters.sqs.send_message(QueueUrl=letters.address, MessageBody=letter(f"{stream['StreamArn']}x"))
    assert letters.redriven() == "0 brought back, 1 left."
    letters.emptied()


def _place(streams: Any, arn: str, shards: list[Any], agent_id: str) -> tuple[str, str]:
    """Where the stream tells of an agent."""
    for shard in shards:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator and (page := streams.get_records(ShardIterator=iterator))["Records"]:
            for record in page["Records"]:
                if record["dynamodb"]["Keys"]["sk"]["S"] == agent_id:
                    return shard["ShardId"], record["dynamodb"]["SequenceNumber"]
            iterator = page.get("NextShardIterator")
    raise AssertionError(f"the stream does not tell of {agent_id}")


def test_a_tenants_key_is_made_when_its_letter_is_brought_back(platform: Runtime) -> None:
    letters = Letters(platform, "ProvisionDeadLetters").emptied()
    tenant = f"parked-{uuid.uuid4().hex[:8]}"
    new_tenant(platform, tenant)
    gateway = client("apigateway", platform.emulator_url)

    def found() -> list[Any]:
        keys = gateway.get_api_keys(limit=500)["items"]
        return [key for key in keys if key["name"].endswith(f":tenant:{tenant}")]

    (key,) = eventually(found, bool)
    place = (f"TENANT#{tenant}#TENANT", "TENANT")
    eventually(lambda: item(platform, *place).get("parts", {}).get("M", {}), lambda parts: "gateway" in parts)
    gateway.delete_api_key(apiKey=key["id"])
    update(platform, *place, "REMOVE parts.gateway")
    for number in range(2):
        body, once = json.dumps({"tenant_id": tenant}), f"{tenant}-{number}"
        letters.sqs.send_message(
            QueueUrl=letters.address, MessageBody=body, MessageGroupId=tenant, MessageDeduplicationId=once
        )
    assert letters.redriven() == "2 brought back, 0 left."
    eventually(found, bool)
    eventually(Letters(platform, "ProvisionQueue").count, lambda count: count == 0)
    assert len(found()) == 1


def test_an_unknown_queue_is_refused(platform: Runtime) -> None:
    ended = run(platform, "redrive", "--queue", "Nobodys")
    assert ended.returncode == 2
    assert "invalid choice" in ended.stderr
