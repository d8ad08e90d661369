"""Bring dead letters back to the function that could not work on them.

Without --yes it only shows what is parked, and why. Mend the cause first: what is still wrong with a record parks it
again. Safe to run twice, and to stop: a letter is deleted after its work is done, and everything is done once however
often it is brought.

A letter of ours holds the record. One of Lambda's holds its place in the table's stream, which has it for 24 hours.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from operations import command, stack
from operations.stack import Stack

READERS = {"AuditDeadLetters": "AuditRecord", "CallUpDeadLetters": "RunsCallUp"}
"""Whose letters these are: queue and function, by their names in the template."""
QUEUES = {"BuildDeadLetters": "BuildQueue", "ProvisionDeadLetters": "ProvisionQueue"}
"""From which queue these letters came, and go back to."""

# Nobody else is to take a letter while it is worked on; a reader of the stream works for a minute at most.
_HIDDEN_SECONDS = 300
_BATCH = 10


class NotDone(Exception):
    """The letter stays, and this is why."""


@dataclass(slots=True)
class Count:
    """What became of the letters; `places` are the records brought back, to know them if they are parked again."""

    done: int = 0
    left: int = 0
    places: set[str] = field(default_factory=set)


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--queue", required=True, choices=sorted({**READERS, **QUEUES}), help="whose letters")
    parser.add_argument("--yes", action="store_true", help="bring them back")
    arguments = parser.parse_args()
    deployed = stack.opened(arguments.stack, arguments.region)
    count = redrive(deployed, arguments.queue, bring=arguments.yes)
    if arguments.yes:
        print(f"{count.done} brought back, {count.left} left.")
    else:
        print(f"{count.left} parked. Nothing was brought back: --yes does it, once their cause is mended.")


def redrive(deployed: Stack, queue: str, *, bring: bool) -> Count:
    """Go through all letters of a queue once, and say on the terminal what each is.

    Args:
        bring: bring them back; else they stay where they are.
    """
    count, address = Count(), deployed.resources[queue]
    hidden: list[str] = []
    try:
        for message in _letters(address):
            handle, letter = message["ReceiptHandle"], json.loads(message["Body"])
            try:
                if not bring:
                    raise NotDone("parked")
                _bring(deployed, queue, message, letter, count)
            except NotDone as reason:
                print(f"{reason}: {described(letter)}")
                hidden.append(handle)
                continue
            _client("sqs").delete_message(QueueUrl=address, ReceiptHandle=handle)
            count.done += 1
    finally:
        for handle in hidden:
            _client("sqs").change_message_visibility(QueueUrl=address, ReceiptHandle=handle, VisibilityTimeout=0)
    count.left = len(hidden)
    return count


def described(letter: Mapping[str, Any]) -> str:
    """One line about a letter: which item or place, and why it was parked. No contents of items."""
    if info := letter.get("DDBStreamBatchInfo"):
        condition = letter.get("requestContext", {}).get("condition")
        return f"{info['batchSize']} records from {info['startSequenceNumber']} on ({condition})"
    if "record" in letter:
        keys = {name: value["S"] for name, value in letter["record"]["dynamodb"]["Keys"].items()}
        # Errors go on with what they found, on further lines.
        reason = letter["reason"].partition("\n")[0][:200]
        return f"{keys['pk']} / {keys['sk']} ({reason})"
    return json.dumps(letter)[:200]


def _letters(address: str) -> Iterator[Any]:
    while (
        messages := _client("sqs")
        .receive_message(
            QueueUrl=address,
            MaxNumberOfMessages=_BATCH,
            VisibilityTimeout=_HIDDEN_SECONDS,
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["MessageGroupId"],
        )
        .get("Messages")
    ):
        yield from messages


def _bring(deployed: Stack, queue: str, message: Any, letter: Mapping[str, Any], count: Count) -> None:
    if queue in QUEUES:
        group = message.get("Attributes", {}).get("MessageGroupId")
        # Should this end before the letter is deleted, the next try is dropped by a queue that keeps an order.
        ordered: Any = {"MessageGroupId": group, "MessageDeduplicationId": message["MessageId"]} if group else {}
        address = deployed.resources[QUEUES[queue]]
        _client("sqs").send_message(QueueUrl=address, MessageBody=message["Body"], **ordered)
        return
    records = _records(deployed, letter)
    places = {record["dynamodb"]["SequenceNumber"] for record in records}
    if places & count.places:
        raise NotDone("parked again")
    for start in range(0, len(records), _BATCH):
        _invoke(deployed.resources[READERS[queue]], records[start : start + _BATCH])
    count.places |= places


def _records(deployed: Stack, letter: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records that a letter is about."""
    if info := letter.get("DDBStreamBatchInfo"):
        return list(_from_the_stream(info))
    record: dict[str, Any] = letter["record"]
    said = record["dynamodb"]
    if "NewImage" not in said and record.get("eventName") != "REMOVE":
        # It was too large for a message. What stands there now says as much, or more.
        found = _client("dynamodb").get_item(
            TableName=deployed.resources["Table"], Key=said["Keys"], ConsistentRead=True
        )
        record = record | {"dynamodb": said | ({"NewImage": found["Item"]} if "Item" in found else {})}
    return [record]


def _from_the_stream(info: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    streams, last = _client("dynamodbstreams"), int(info["endSequenceNumber"])
    try:
        iterator = streams.get_shard_iterator(
            StreamArn=info["streamArn"],
            ShardId=info["shardId"],
            ShardIteratorType="AT_SEQUENCE_NUMBER",
            SequenceNumber=info["startSequenceNumber"],
        )["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            for record in page["Records"]:
                if int(record["dynamodb"]["SequenceNumber"]) > last:
                    return
                yield record
                if int(record["dynamodb"]["SequenceNumber"]) == last:
                    return
            iterator = page.get("NextShardIterator")
    except (streams.exceptions.TrimmedDataAccessException, streams.exceptions.ResourceNotFoundException) as error:
        raise NotDone("the stream has forgotten them") from error


def _invoke(function: str, records: list[dict[str, Any]]) -> None:
    # Times are the only thing in them that JSON has no word for.
    payload = json.dumps({"Records": records}, default=lambda moment: moment.timestamp())
    answer = _client("lambda").invoke(FunctionName=function, Payload=payload.encode())
    said = json.loads(answer["Payload"].read())
    if answer.get("FunctionError"):
        raise NotDone(f"failed ({said.get('errorType')})")
    if said["batchItemFailures"]:
        raise NotDone("failed, see the function's log")


@cache
def _client(service: Any) -> Any:
    # The readers work for a minute at most, and may be called again.
    return boto3.client(service, config=Config(read_timeout=90))


if __name__ == "__main__":
    command.run(main)
