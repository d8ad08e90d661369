"""Laws of what happens without a caller: tried a bounded number of times, parked, and watched."""

import json
from typing import Any

from tests.house.repository import deployed, functions, resources

QUEUES = resources("AWS::SQS::Queue")
_DAY = 86_400
# Lambda tries an asynchronous invocation so; nothing here is invoked like that (`lambda:InvokeFunction` is granted to
# the gateway and the state machines, who wait for the answer).
_WAITED_FOR = {"SQS", "DynamoDB"}


def _sources(kind: str) -> dict[str, dict[str, Any]]:
    """The event sources of a type, by the function's logical id."""
    return {
        function.logical_id: event["Properties"]
        for function in functions()
        for event in function.properties.get("Events", {}).values()
        if event["Type"] == kind
    }


def test_every_event_source_is_one_that_these_laws_know() -> None:
    kinds = {event["Type"] for function in functions() for event in function.properties.get("Events", {}).values()}
    assert kinds <= _WAITED_FOR, "an asynchronous path needs dead letters, and a law here"


def test_at_most_two_read_the_tables_stream() -> None:
    """AWS: "No more than two processes at most should be reading from the same stream's shard at the same time".

    docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html, looked up on 2026-11-21.
    """
    assert len(_sources("DynamoDB")) <= 2


def test_a_reader_of_the_stream_gives_up_and_says_where() -> None:
    for name, source in _sources("DynamoDB").items():
        letters = source["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        assert letters.endswith("DeadLetters"), f"{name}: {letters} is no queue that an alarm watches"
        assert letters in QUEUES
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"], f"{name} answers as `stream.follow`"
        assert source["BisectBatchOnFunctionError"] is True
        assert 0 < source["MaximumRetryAttempts"] <= 100
        assert 0 < source["MaximumRecordAgeInSeconds"] <= _DAY / 2, (
            f"{name}: half of what the stream keeps is for bringing records back"
        )


def test_a_reader_may_park_in_its_own_queue_only() -> None:
    for function in functions():
        granted = [s["Resource"] for s in function.statements if "sqs:SendMessage" in s["Action"]]
        said = json.dumps(granted)
        parked = [name for name in QUEUES if name.endswith("DeadLetters") and f'"{name}"' in said]
        source = _sources("DynamoDB").get(function.logical_id)
        own = [source["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]] if source else []
        assert parked == own, f"{function.name} parks where Lambda parks for it"


def test_a_queues_messages_are_tried_a_few_times_and_parked() -> None:
    for name, source in _sources("SQS").items():
        worked = source["Queue"]["Fn::GetAtt"][0]
        queue = QUEUES[worked]
        letters = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert letters.endswith("DeadLetters")
        assert QUEUES[letters].get("FifoQueue") == queue.get("FifoQueue"), "SQS takes a queue's own kind only"
        assert 1 < queue["RedrivePolicy"]["maxReceiveCount"] <= 10
        timeout = next(f.properties["Timeout"] for f in functions() if f.logical_id == name)
        # docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, looked up on 2026-11-21.
        assert queue["VisibilityTimeout"] >= 6 * timeout, f"{name}: AWS advises 6 times the function's timeout"
        # Else a failing message is worked on together with those behind it.
        assert source["BatchSize"] == 1 or source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        at_once = source["ScalingConfig"]["MaximumConcurrency"]
        if isinstance(at_once, dict):
            parameter = deployed()["Parameters"][at_once["Ref"]]
            assert (parameter["MinValue"], parameter["MaxValue"]) == (2, 10), "AWS takes 2 at least"
            at_once = parameter["Default"]
        assert 2 <= at_once <= 10


def test_dead_letters_are_kept_as_long_as_sqs_can_and_encrypted() -> None:
    for name, queue in QUEUES.items():
        assert queue["SqsManagedSseEnabled"] is True, name
        if name.endswith("DeadLetters"):
            assert queue["MessageRetentionPeriod"] == 14 * _DAY, name
