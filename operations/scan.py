"""Reading the whole table, which no request ever does: for commands that must find what has no list of its own.

It costs 1 read unit for each 4 KB of the table, wanted or not (Amazon DynamoDB Developer Guide, "Scan"): 262,144 units
for a gigabyte, some 3 US cents on demand.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from shared.clients import aws
from shared.config import settings

Raw = dict[str, Any]
"""An item in DynamoDB's JSON."""


def pages(prefixes: Sequence[str]) -> Iterator[list[Raw]]:
    """All items whose partition key begins with one of the prefixes, by the megabyte that was read; strongly
    consistent. What is written meanwhile may be among them or not. A page may be empty."""
    names = [f":p{number}" for number in range(len(prefixes))]
    return _pages(
        TableName=settings().table_name,
        ConsistentRead=True,
        FilterExpression=" OR ".join(f"begins_with(pk, {name})" for name in names),
        ProjectionExpression="pk, sk, doc",
        ExpressionAttributeValues={name: {"S": prefix} for name, prefix in zip(names, prefixes, strict=True)},
    )


def whole(table: str) -> Iterator[list[Raw]]:
    """All items of another table, with all that they hold."""
    return _pages(TableName=table)


def _pages(**arguments: Any) -> Iterator[list[Raw]]:
    while True:
        answer = aws.dynamodb().scan(**arguments)
        yield answer["Items"]
        if "LastEvaluatedKey" not in answer:
            return
        arguments["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
