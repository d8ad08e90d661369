"""Who may do what, as the local runtime decides it for AWS."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.exceptions import ClientError

from local.permissions import Grant, Guard, Need, Role, at_work, grants_of, needs

TABLE = "arn:aws:dynamodb:us-east-1:000000000000:table/things"
GATEWAY = "arn:aws:apigateway:us-east-1::"


def asked(service: str, operation: str, **params: Any) -> list[Need]:
    return needs(model(service, operation), params)


@cache
def model(service: str, operation: str) -> Any:
    return botocore.session.get_session().get_service_model(service).operation_model(operation)


@pytest.mark.parametrize(
    ("pattern", "resource", "covered"),
    [
        (TABLE, TABLE, True),
        (TABLE, TABLE + "2", False),
        (TABLE, TABLE + "/index/by-name", False),
        (TABLE + "/index/*", TABLE + "/index/by-name", True),
        ("*", TABLE, True),
        ("arn:aws:states:us-east-1:0:execution:runs:*", "arn:aws:states:us-east-1:0:execution:runs:one", True),
        ("arn:aws:states:us-east-1:0:execution:runs:*", "arn:aws:states:us-east-1:0:execution:others:one", False),
        ("arn:aws:states:us-east-1:0:execution:run?:one", "arn:aws:states:us-east-1:0:execution:runs:one", True),
        ("arn.aws", "arn:aws", False),
    ],
)
def test_a_resource_is_matched_as_a_whole(pattern: str, resource: str, covered: bool) -> None:
    assert Grant("x:Do", pattern).covers(Need("x:Do", resource)) is covered
    assert not Grant("x:Do", pattern).covers(Need("x:DoNot", resource))


def test_a_statement_grants_each_action_on_each_resource() -> None:
    statement = {"Effect": "Allow", "Action": ["x:Get", "x:Put"], "Resource": ["one", "two"]}
    assert grants_of([statement, {"Effect": "Allow", "Action": "x:List", "Resource": "*", "Sid": "Lists"}]) == (
        Grant("x:Get", "one"),
        Grant("x:Get", "two"),
        Grant("x:Put", "one"),
        Grant("x:Put", "two"),
        Grant("x:List", "*"),
    )


def test_what_is_for_lambda_alone_is_no_grant_to_code() -> None:
    statement = {"Effect": "Allow", "Action": "ec2:DescribeSubnets", "Resource": "*"}
    assert grants_of([statement | {"Condition": {"Null": {"lambda:SourceFunctionArn": "true"}}}]) == ()


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Deny"},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"NotAction": ["x:Get"]},
        {"Action": "x:*"},
    ],
)
def test_a_statement_that_would_be_read_wrongly_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"statement|action"):
        grants_of([{"Effect": "Allow", "Action": "x:Get", "Resource": "*", **change}])


def test_a_transaction_asks_for_each_of_its_items() -> None:
    items = [{kind: {"TableName": "things"}} for kind in ("Put", "Update", "Delete", "ConditionCheck")]
    assert asked("dynamodb", "TransactWriteItems", TransactItems=items) == [
        Need(f"dynamodb:{action}", TABLE) for action in ("PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
    ]
    read = [{"Get": {"TableName": "things"}}]
    assert asked("dynamodb", "TransactGetItems", TransactItems=read) == [Need("dynamodb:GetItem", TABLE)]


def test_a_batch_asks_by_its_own_name_for_each_table() -> None:
    assert asked("dynamodb", "BatchGetItem", RequestItems={"things": {}}) == [Need("dynamodb:BatchGetItem", TABLE)]
    assert asked("dynamodb", "BatchWriteItem", RequestItems={TABLE: []}) == [Need("dynamodb:BatchWriteItem", TABLE)]


@pytest.mark.parametrize(
    ("service", "operation", "params", "need"),
    [
        ("dynamodb", "Query", {"TableName": "things"}, Need("dynamodb:Query", TABLE)),
        (
            "dynamodb",
            "Query",
            {"TableName": "things", "IndexName": "by-name"},
            Need("dynamodb:Query", TABLE + "/index/by-name"),
        ),
        ("dynamodb", "ListTables", {}, Need("dynamodb:ListTables", "*")),
        ("stepfunctions", "StartExecution", {"stateMachineArn": "m"}, Need("states:StartExecution", "m")),
        (
            "stepfunctions",
            "StartSyncExecution",
            {"stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:runs:live"},
            Need("states:StartSyncExecution", "arn:aws:states:us-east-1:000000000000:stateMachine:runs"),
        ),
        ("stepfunctions", "StopExecution", {"executionArn": "e"}, Need("states:StopExecution", "e")),
        ("secretsmanager", "GetSecretValue", {"SecretId": "s"}, Need("secretsmanager:GetSecretValue", "s")),
        (
            "sqs",
            "SendMessage",
            {"QueueUrl": "http://127.0.0.1:1/000000000000/letters"},
            Need("sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:letters"),
        ),
        ("apigateway", "GetApiKeys", {"nameQuery": "a"}, Need("apigateway:GET", GATEWAY + "/apikeys")),
        ("apigateway", "UpdateUsagePlan", {"usagePlanId": "p"}, Need("apigateway:PATCH", GATEWAY + "/usageplans/p")),
        (
            "apigateway",
            "DeleteUsagePlanKey",
            {"usagePlanId": "p", "keyId": "k"},
            Need("apigateway:DELETE", GATEWAY + "/usageplans/p/keys/k"),
        ),
        (
            "lambda",
            "Invoke",
            {"FunctionName": "f"},
            Need("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:000000000000:function:f"),
        ),
    ],
)
def test_a_call_asks_for_its_action_on_its_resource(
    service: str, operation: str, params: dict[str, Any], need: Need
) -> None:
    assert asked(service, operation, **params) == [need]


def test_a_role_allows_what_its_policies_and_its_boundary_allow() -> None:
    put, get = Need("dynamodb:PutItem", TABLE), Need("dynamodb:GetItem", TABLE)
    both = (Grant(put.action, TABLE), Grant(get.action, TABLE))
    assert Role("r", both).refusal(put) is None
    assert Role("r", both[1:]).refusal(put) == "no identity-based policy"
    assert Role("r", both, boundary=both[1:]).refusal(put) == "no permissions boundary"
    assert Role("r", both, boundary=both[1:]).refusal(get) is None
    assert Role("r", (), boundary=both).refusal(get) == "no identity-based policy", "a boundary grants nothing"


ROLES = {"Reader": Role("stack-ReaderRole", (Grant("dynamodb:GetItem", TABLE),))}


def call(guard: Guard, function: str, operation: str, params: Mapping[str, Any]) -> None:
    token = at_work.set(function)
    try:
        guard.check(params=params, model=model("dynamodb", operation))
    finally:
        at_work.reset(token)


def test_a_refusal_reads_like_one_of_aws() -> None:
    guard = Guard(ROLES)
    call(guard, "Reader", "GetItem", {"TableName": "things"})
    with pytest.raises(ClientError) as refused:
        call(guard, "Reader", "PutItem", {"TableName": "things"})
    assert refused.value.response["Error"] == {
        "Code": "AccessDeniedException",
        "Message": "User: arn:aws:sts::000000000000:assumed-role/stack-ReaderRole/Reader is not authorized to perform: "
        f"dynamodb:PutItem on resource: {TABLE} because no identity-based policy allows the dynamodb:PutItem action",
    }
    assert refused.value.operation_name == "PutItem"
    assert guard.refused == [refused.value.response["Error"]["Message"]]


@pytest.mark.parametrize("function", ["", "Stranger"])
def test_who_is_not_known_may_nothing(function: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        call(Guard(ROLES), function, "GetItem", {"TableName": "things"})


def test_a_transaction_is_refused_for_one_of_its_items() -> None:
    items = [{"Get": {"TableName": "things"}}, {"Get": {"TableName": "others"}}]
    with pytest.raises(ClientError, match="table/others"):
        call(Guard(ROLES), "Reader", "TransactGetItems", {"TransactItems": items})


def test_what_was_allowed_is_recorded_once_with_what_was_granted(tmp_path: Path) -> None:
    guard = Guard(ROLES, tmp_path / "records")
    with guard.watching(), ThreadPoolExecutor(8) as pool:
        for _ in range(32):
            pool.submit(call, guard, "Reader", "GetItem", {"TableName": "things"})
        with pytest.raises(ClientError):
            call(guard, "Reader", "PutItem", {"TableName": "things"})
    with Guard(ROLES, tmp_path / "records").watching():
        pass
    first, second = sorted((tmp_path / "records").iterdir(), key=lambda file: -len(file.read_text()))
    head, line = map(json.loads, first.read_text().splitlines())
    assert head == {"Reader": [["dynamodb:GetItem", TABLE]]}
    assert line == {"function": "Reader", "action": "dynamodb:GetItem", "resource": TABLE}
    assert json.loads(second.read_text()) == head, "another runtime writes a file of its own"


def test_what_was_allowed_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.permissions._REMEMBERED", 3)
    everything = Grant("states:StopExecution", "arn:*")
    guard = Guard({"Canceller": Role("role", (everything,))})
    for n in range(20):
        token = at_work.set("Canceller")
        guard.check(params={"executionArn": f"arn:execution:{n}"}, model=model("stepfunctions", "StopExecution"))
        at_work.reset(token)
        assert len(guard._allowed) <= 3
    assert not guard.refused


def test_only_the_default_session_is_watched_and_only_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    guard = Guard(ROLES)
    access: dict[str, str] = {"region_name": "us-east-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
    with guard.watching():
        watched = boto3.client("dynamodb", **access)  # type: ignore[call-overload]
        with pytest.raises(ClientError, match="AccessDenied"):
            watched.get_item(TableName="things", Key={"pk": {"S": "1"}})
    assert boto3.DEFAULT_SESSION is None
    assert guard.refused
