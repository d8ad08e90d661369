"""Tests of our own rules for cfn-lint: each finds the fault that it is there for, and nothing in a good template."""

import json
from typing import Any

import pytest

from tests.house.repository import ROOT

_GROUP: dict[str, Any] = {
    "Type": "AWS::Logs::LogGroup",
    "DeletionPolicy": "Delete",
    "UpdateReplacePolicy": "Delete",
    "Properties": {"RetentionInDays": {"Ref": "LogRetentionDays"}},
}
_READER: dict[str, Any] = {
    "Type": "AWS::Lambda::EventSourceMapping",
    "Properties": {
        "EventSourceArn": "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
        "FunctionName": "reader",
        "StartingPosition": "LATEST",
        "MaximumRetryAttempts": 10,
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:123456789012:dead"}},
    },
}


def _policy(action: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "arn:aws:sqs:us-east-1:123456789012:queue"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}


def _without(resource: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != name}


def _without_property(resource: dict[str, Any], name: str) -> dict[str, Any]:
    return resource | {"Properties": _without(resource["Properties"], name)}


@pytest.mark.parametrize(
    ("rule", "resource"),
    [
        ("E9001", _without_property(_READER, "MaximumRetryAttempts")),
        ("E9001", _without_property(_READER, "DestinationConfig")),
        ("E9002", _without_property(_GROUP, "RetentionInDays")),
        ("E9002", _GROUP | {"Properties": {"RetentionInDays": 30}}),
        ("I3011", _without(_GROUP, "UpdateReplacePolicy")),
        ("E9003", _policy("sqs:*")),
        ("E9003", _policy(["sqs:SendMessage", "sqs:Get*"])),
        ("I3011", {"Type": "AWS::SQS::Queue"}),
        (None, _READER),
        (None, _GROUP),
        (None, _policy(["sqs:SendMessage"])),
    ],
)
def test_a_rule_finds_its_fault(rule: str | None, resource: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # cfn-lint takes seconds to load, and only these tests need it; its settings lie where the template does.
    from cfnlint.api import lint

    monkeypatch.chdir(ROOT)
    parameters = {"LogRetentionDays": {"Type": "Number"}} if "LogRetentionDays" in json.dumps(resource) else {}
    found = lint(json.dumps({"Parameters": parameters, "Resources": {"Spoilt": resource}}))
    assert {match.rule.id for match in found} == ({rule} if rule else set())
