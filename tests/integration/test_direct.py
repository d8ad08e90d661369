"""Calls that reach the emulator without HTTP give what botocore makes of the same calls over HTTP."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from local import deploy, direct
from local.emulator import ACCOUNT, REGION, Emulator
from local.wire import Questions

Client = Any
Call = tuple[str, dict[str, Any]]

_KEY = {"pk": {"S": "a"}, "sk": {"S": "1"}}
_ALL_KINDS = {
    "text": {"S": 'é"B"\n'},
    "number": {"N": "12345678901234567890.5"},
    "bytes": {"B": b"\x00\xff"},
    "truth": {"BOOL": True},
    "nothing": {"NULL": True},
    "list": {"L": [{"S": "x"}, {"M": {"deep": {"B": b"deep"}}}]},
    "texts": {"SS": ["p", "q"]},
    "numbers": {"NS": ["1", "2.5"]},
    "binaries": {"BS": [b"1"]},
}


def _calls(table: str) -> list[Call]:
    """Every operation that goes the direct way, with its usual answers and its errors, in an order that matters."""

    def named(**more: Any) -> dict[str, Any]:
        return {"TableName": table, **more}

    new: dict[str, Any] = {
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    others = [{"pk": {"S": "a"}, "sk": {"S": str(n)}, "n": {"N": str(n)}} for n in range(2, 6)]
    first = {"pk": {"S": "a"}}
    return [
        ("get_item", named(Key=_KEY)),
        ("put_item", named(Item=_KEY | _ALL_KINDS, ReturnConsumedCapacity="TOTAL", **new)),
        ("put_item", named(Item=_KEY, **new)),
        ("put_item", named(Item={"pk": {"S": ""}, "sk": {"S": "1"}})),
        ("put_item", {"TableName": "no-such-table", "Item": _KEY}),
        ("get_item", named(Key=_KEY, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")),
        ("get_item", named(Key=_KEY, ProjectionExpression="#t, truth", ExpressionAttributeNames={"#t": "text"})),
        ("get_item", named(Key={"pk": {"S": "a"}})),
        (
            "update_item",
            named(
                Key=_KEY,
                UpdateExpression="ADD n :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
                ReturnValues="ALL_NEW",
            ),
        ),
        ("update_item", named(Key=_KEY, UpdateExpression="SET n = n +", ReturnValues="NONE")),
        ("batch_write_item", {"RequestItems": {table: [{"PutRequest": {"Item": item}} for item in others]}}),
        ("batch_get_item", {"RequestItems": {table: {"Keys": [_KEY, {"pk": {"S": "b"}, "sk": {"S": "1"}}]}}}),
        *(
            ("query", named(KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": first["pk"]}, **more))
            for more in (
                {},
                {"Limit": 2, "ScanIndexForward": False},
                {"Select": "COUNT"},
                {"ExclusiveStartKey": {"pk": {"S": "a"}, "sk": {"S": "3"}}, "ReturnConsumedCapacity": "INDEXES"},
                {"IndexName": "no-such-index"},
            )
        ),
        (
            "transact_write_items",
            {
                "TransactItems": [
                    {"Put": named(Item={"pk": {"S": "t"}, "sk": {"S": "1"}})},
                    {"Update": named(Key=_KEY, UpdateExpression="REMOVE n")},
                ],
                "ReturnConsumedCapacity": "TOTAL",
            },
        ),
        (
            "transact_write_items",
            {
                "TransactItems": [
                    {"Put": named(Item=_KEY, **new)},
                    {"Put": named(Item={"pk": {"S": "t"}, "sk": {"S": "2"}})},
                ]
            },
        ),
        ("transact_get_items", {"TransactItems": [{"Get": named(Key=_KEY)}]}),
        ("delete_item", named(Key=_KEY, ReturnValues="ALL_OLD")),
        ("delete_item", named(Key=_KEY, ConditionExpression="attribute_exists(pk)")),
    ]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulator")
    started = Emulator(folder, Path(folder / "emulator.log"), free_port(), 86_400)
    started.start()
    try:
        started.wait_until_ready()
        yield started
    finally:
        started.stop()


@pytest.fixture
def directly(emulator: Emulator) -> Iterator[Callable[[str], Client]]:
    """Makes clients that ask the emulator's process."""
    session, questions = _session(emulator)
    # Nothing answers HTTP there.
    once = Config(retries={"total_max_attempts": 1})
    yield lambda service: session.create_client(service, endpoint_url="http://127.0.0.1:9", config=once)
    questions.close()


def test_dynamodb_answers_the_same(emulator: Emulator, directly: Callable[[str], Client]) -> None:
    http, ours = deploy.client("dynamodb", emulator.url), directly("dynamodb")
    for name in ("over-http", "directly"):
        keys = [("pk", "HASH"), ("sk", "RANGE")]
        http.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in keys],
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key, _ in keys],
        )
    operations = set()
    pairs = list(zip(_calls("over-http"), _calls("directly"), strict=True))
    for (operation, params), (_, same) in pairs:
        expected, got = _outcome(http, operation, params), _outcome(ours, operation, same)
        assert repr(got) == repr(expected).replace("over-http", "directly"), operation
        operations.add(http.meta.method_to_api_mapping[operation])
    assert operations == direct.OPERATIONS["dynamodb"]


def test_step_functions_answers_the_same(emulator: Emulator, directly: Callable[[str], Client]) -> None:
    http, ours = deploy.client("stepfunctions", emulator.url), directly("stepfunctions")
    states = {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}, "Pass": {"Type": "Pass", "End": True}}
    states["Fail"] = {"Type": "Fail", "Error": "Hopeless", "Cause": "of itself"}
    role = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    arns = {
        name: http.create_state_machine(
            name=name, definition=json.dumps({"StartAt": name, "States": {name: state}}), roleArn=role
        )["stateMachineArn"]
        for name, state in states.items()
    }
    operations = set()
    for operation, params in (
        ("start_sync_execution", {"stateMachineArn": arns["Pass"], "input": '{"a": "é"}'}),
        ("start_sync_execution", {"stateMachineArn": arns["Fail"]}),
        ("start_sync_execution", {"stateMachineArn": f"{arns['Pass']}-not"}),
        ("start_execution", {"stateMachineArn": arns["Wait"], "name": "waits-CLIENT"}),
        ("start_execution", {"stateMachineArn": arns["Wait"], "name": "waits-CLIENT"}),
        (
            "describe_execution",
            {"executionArn": arns["Wait"].replace(":stateMachine:", ":execution:") + ":waits-CLIENT"},
        ),
        ("stop_execution", {"executionArn": arns["Wait"].replace(":stateMachine:", ":execution:") + ":waits-CLIENT"}),
        ("stop_execution", {"executionArn": arns["Wait"].replace(":stateMachine:", ":execution:") + ":not"}),
    ):
        answers = [
            _outcome(client, operation, json.loads(json.dumps(params).replace("CLIENT", name)))
            for name, client in (("http", http), ("ours", ours))
        ]
        expected, got = (_without_chance(answer) for answer in answers)
        assert repr(got) == repr(expected).replace("waits-http", "waits-ours"), operation
        operations.add(http.meta.method_to_api_mapping[operation])
    assert operations == direct.OPERATIONS["stepfunctions"]


def test_other_operations_go_over_http(directly: Callable[[str], Client]) -> None:
    with pytest.raises(EndpointConnectionError):
        directly("dynamodb").list_tables()


def test_an_emulator_that_is_gone_or_silent_is_what_botocore_calls_so(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    started = Emulator(tmp_path, tmp_path / "emulator.log", free_port(), 86_400)
    started.start()
    try:
        started.wait_until_ready()
        session, questions = _session(started)
        config = Config(read_timeout=1, retries={"total_max_attempts": 1})
        states = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
        machines = session.create_client("stepfunctions", config=config, endpoint_url=started.url)
        arn = session.create_client("stepfunctions", endpoint_url=started.url).create_state_machine(
            name="waits", definition=json.dumps(states), roleArn="arn:aws:iam::1:role/r"
        )
        with pytest.raises(ReadTimeoutError):
            machines.start_sync_execution(stateMachineArn=arn["stateMachineArn"], name="n")
    finally:
        started.stop()
    with pytest.raises(EndpointConnectionError):
        machines.start_sync_execution(stateMachineArn=arn["stateMachineArn"], name="n")
    questions.close()


def _session(emulator: Emulator) -> tuple[Any, Questions]:
    session: Any = botocore.session.get_session()
    session.set_credentials("test", "test")
    session.set_config_variable("region", REGION)
    questions = Questions(emulator.peer)
    direct.shorten(session.get_component("event_emitter"), questions)
    return session, questions


def _outcome(client: Client, operation: str, params: Mapping[str, Any]) -> Any:
    """What a call gave, but for the name of the request and the headers of HTTP; an error by its classes."""
    try:
        answer: dict[str, Any] = getattr(client, operation)(**params)
    except ClientError as error:
        answer = {"raised": [kind.__name__ for kind in type(error).mro()], "text": str(error), **error.response}
    metadata = answer.pop("ResponseMetadata")
    return answer | {"status": metadata["HTTPStatusCode"], "retries": metadata["RetryAttempts"]}


def _without_chance(answer: Any) -> Any:
    """The times and names that are another's for every execution, as their types."""
    changing = ("executionArn", "name", "startDate", "stopDate")
    return {key: type(value) if key in changing else value for key, value in answer.items()}
