"""What the emulator forgets: counted, so that thousands of runs leave no more than some do."""

import json
import time
from collections.abc import Iterator
from typing import Any

from local.deploy import client as aws_client
from local.emulator_memory import KEPT_EXECUTIONS, KEPT_RECORDS, drop_oldest, drop_read, oldest_finished
from local.runtime import Runtime

PASS = json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}})


def test_only_old_finished_executions_are_forgotten() -> None:
    stops = {"running": None, "first": "2026-01-01", "second": "2026-01-02", "third": "2026-01-03"}
    executions = {name: {"stopDate": stop} for name, stop in stops.items()}
    assert oldest_finished(executions, keep=1) == ["first", "second"]
    assert oldest_finished(executions, keep=3) == []


def test_executions_do_not_pile_up(platform: Runtime) -> None:
    states = aws_client("stepfunctions", platform.emulator_url)
    role = "arn:aws:iam::000000000000:role/nobody"
    machine = states.create_state_machine(name="many", definition=PASS, roleArn=role)["stateMachineArn"]
    for n in range(2 * KEPT_EXECUTIONS + 50):
        states.start_sync_execution(stateMachineArn=machine, name=f"n-{n}")
        if n % 100 == 0:
            assert len(list(_executions(states))) <= 2 * KEPT_EXECUTIONS
    names = [found["name"] for found in _executions(states)]
    assert KEPT_EXECUTIONS <= len(names) <= 2 * KEPT_EXECUTIONS
    assert f"n-{2 * KEPT_EXECUTIONS + 49}" in names
    assert "n-0" not in names


def _executions(states: Any) -> Iterator[dict[str, Any]]:
    for machine in states.get_paginator("list_state_machines").paginate().search("stateMachines[]"):
        arn = machine["stateMachineArn"]
        yield from states.get_paginator("list_executions").paginate(stateMachineArn=arn).search("executions[]")


def test_old_records_of_the_tables_stream_are_dropped_once_they_are_read(platform: Runtime) -> None:
    table, dynamodb = platform.stack.resources["Table"], aws_client("dynamodb", platform.emulator_url)
    for batch in range(2 * KEPT_RECORDS // 25 + 20):
        keys = [{"pk": {"S": "NOBODY"}, "sk": {"S": f"{batch:03} {n:02}"}} for n in range(25)]
        dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": key}} for key in keys]})
    deadline = time.monotonic() + 60
    while (left := _records(platform)) >= 2 * KEPT_RECORDS and time.monotonic() < deadline:
        time.sleep(0.02)
    assert KEPT_RECORDS <= left < 2 * KEPT_RECORDS


def _records(platform: Runtime) -> int:
    """How many records the table's stream holds."""
    streams = aws_client("dynamodbstreams", platform.emulator_url)
    (stream,) = streams.list_streams()["Streams"]
    arn = stream["StreamArn"]
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    place = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    found = 0
    try:
        iterator = streams.get_shard_iterator(**place)["ShardIterator"]
        while iterator and (page := streams.get_records(ShardIterator=iterator))["Records"]:
            found += len(page["Records"])
            iterator = page.get("NextShardIterator")
    except streams.exceptions.TrimmedDataAccessException:
        # What was to be read next was dropped meanwhile: count anew.
        return _records(platform)
    return found


def test_records_are_kept_until_all_have_read_them() -> None:
    records, dropped = list(range(10)), {"t": 100}
    for positions in ([], [None], [105, None], [100, 110], [90]):
        drop_read(records, "t", dropped, positions, 0)
        assert (len(records), dropped) == (10, {"t": 100})
    drop_read(records, "t", dropped, [107, 104], 0)
    assert (records, dropped) == (list(range(4, 10)), {"t": 104})
    drop_read(records, "t", dropped, [110], 0)
    assert (records, dropped) == ([], {"t": 110})


def test_the_newest_records_are_kept_although_read() -> None:
    records, dropped = list(range(10)), {"t": 100}
    drop_read(records, "t", dropped, [110], 6)
    assert (len(records), dropped) == (10, {"t": 100}), "not twice as many yet"
    drop_read(records, "t", dropped, [110], 3)
    assert (records, dropped) == ([7, 8, 9], {"t": 107})


def test_old_transactions_are_forgotten() -> None:
    entries: dict[int, None] = {}
    for n in range(100):
        entries[n] = None
        drop_oldest(entries, 10)
        assert len(entries) < 20
    assert list(entries)[-10:] == list(range(90, 100))
