"""Handlers without a framework: what they return is what Lambda gets."""

import json
import os
import time
from typing import Any

import boto3

dynamodb = boto3.client("dynamodb")


class Unsteady(Exception):
    """Goes away when tried again."""


class Hopeless(Exception):
    """Never goes away."""


def echo(event: dict[str, Any], _context: object) -> dict[str, Any]:
    return {"statusCode": 200, "body": json.dumps(event)}


def answer(event: dict[str, Any], _context: object) -> Any:
    kind = event["pathParameters"]["kind"]
    if kind == "slow":
        time.sleep(2)
    if kind == "raises":
        raise ValueError("no")
    if kind == "exits":
        raise SystemExit(1)
    answers: dict[str, Any] = {
        "no-proxy-answer": {"hello": "world"},
        "not-json": {"statusCode": 200, "body": object()},
        "too-big": {"statusCode": 200, "body": "x" * 7_000_000},
        "cookies": {"statusCode": 201, "headers": {"X-One": 1}, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}},
    }
    return answers.get(kind, {"statusCode": 200, "body": kind})


def step(event: dict[str, Any], _context: object) -> dict[str, Any]:
    counted = dynamodb.update_item(
        TableName=os.environ["TABLE_NAME"],
        Key={"pk": {"S": f"attempts {event['id']}"}},
        UpdateExpression="ADD attempts :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )
    attempts = int(counted["Attributes"]["attempts"]["N"])
    if event["mode"] == "hopeless":
        raise Hopeless
    if event["mode"] == "unsteady" and attempts == 1:
        raise Unsteady
    if event["mode"] == "too slow":
        time.sleep(5)
    if event["mode"] == "slow at first" and attempts == 1:
        time.sleep(3.5)
    return {"attempts": attempts}
