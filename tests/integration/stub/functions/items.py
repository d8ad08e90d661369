"""Items in the table."""

import os
from typing import Any

import boto3
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from botocore.exceptions import ClientError

app = APIGatewayRestResolver()
dynamodb = boto3.client("dynamodb")


@app.get("/items/special")
def special() -> dict[str, Any]:
    return {"special": True}


@app.get("/items/<item_id>")
def get_item(item_id: str) -> dict[str, Any]:
    found = dynamodb.get_item(TableName=os.environ["TABLE_NAME"], Key={"pk": {"S": item_id}})
    return {"found": "Item" in found, "caller": app.current_event.raw_event["requestContext"]["authorizer"]}


@app.patch("/items/<item_id>")
def delete_item(item_id: str) -> dict[str, Any]:
    try:
        dynamodb.delete_item(TableName=os.environ["TABLE_NAME"], Key={"pk": {"S": item_id}})
    except ClientError as error:
        return {"refused": error.response["Error"]}
    return {"id": item_id}


@app.put("/items/<item_id>")
def put_item(item_id: str) -> dict[str, Any]:
    dynamodb.put_item(TableName=os.environ["TABLE_NAME"], Item={"pk": {"S": item_id}})
    return {"id": item_id}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
