"""Clients of AWS: DynamoDB is told and understood as botocore would, with less work."""

import json
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from shared.clients import aws

ITEM = {
    "pk": {"S": "TENANT#tenant_a#AGENT"},
    "version": {"N": "1"},
    "parts": {"M": {"a": {"S": ""}, "b": {"L": [{"N": "-1.5"}, {"NULL": True}, {"BOOL": False}, {"SS": ["x"]}]}}},
}
OTHER = {"pk": {"S": "\u00e9 \U0001f600"}, "empty": {"M": {}}}
ANSWERS: dict[str, Any] = {
    "GetItem": {"Item": ITEM},
    "BatchGetItem": {"Responses": {"table": [ITEM, OTHER]}, "UnprocessedKeys": {"table": {"Keys": [OTHER]}}},
    "Query": {"Items": [ITEM, OTHER], "Count": 2, "ScannedCount": 3, "LastEvaluatedKey": OTHER},
    "UpdateItem": {"Attributes": ITEM, "ConsumedCapacity": {"TableName": "table", "CapacityUnits": 1.5}},
    "TransactWriteItems": {},
}
REQUESTS: dict[str, Any] = {
    "GetItem": {"TableName": "table", "Key": OTHER, "ConsistentRead": True},
    "BatchGetItem": {"RequestItems": {"table": {"Keys": [OTHER], "ConsistentRead": True}}},
    "Query": {"TableName": "table", "ExpressionAttributeValues": ITEM, "Limit": 1, "ExclusiveStartKey": OTHER},
    "UpdateItem": {"TableName": "table", "Key": OTHER, "ExpressionAttributeValues": ITEM},
    "TransactWriteItems": {"TransactItems": [{"Put": {"TableName": "table", "Item": ITEM}}]},
}


def models(operation: str) -> list[Any]:
    """As botocore's clients have it, and as ours have it."""
    found = [
        Loader().load_service_model("dynamodb", "service-2"),
        aws._LOADER.load_service_model("dynamodb", "service-2"),
    ]
    return [ServiceModel(one, "dynamodb").operation_model(operation) for one in found]


@pytest.mark.parametrize("operation", list(ANSWERS))
def test_answers_are_understood_as_ever(operation: str) -> None:
    answer = {"body": json.dumps(ANSWERS[operation]).encode(), "headers": {"x-amzn-requestid": "1"}, "status_code": 200}
    usual, ours = (create_parser("json").parse(answer, model.output_shape) for model in models(operation))
    assert ours == usual
    assert ours.items() >= ANSWERS[operation].items()


@pytest.mark.parametrize("operation", list(REQUESTS))
def test_requests_are_told_as_ever(operation: str) -> None:
    usual, ours = (
        create_serializer("json").serialize_to_request(REQUESTS[operation], model) for model in models(operation)
    )
    assert ours == usual
    assert json.loads(ours["body"]) == REQUESTS[operation]


@pytest.mark.parametrize("operation", ["GetItem", "BatchGetItem", "Query"])
def test_items_are_not_looked_through(operation: str) -> None:
    given = json.dumps({"Items": [{"pk": {"no type of DynamoDB": 1}}]}).encode()
    _, ours = models(operation)
    answer = create_parser("json").parse({"body": given, "headers": {}, "status_code": 200}, ours.output_shape)
    assert answer["Items"] == json.loads(given)["Items"]
