"""The audit, read as its tenant's administrator reads it."""

from typing import Any

from tests.unit.support.gateway import Api


def found(api: Api, query: str = "") -> list[dict[str, Any]]:
    """The records, newest first."""
    answer = api.get(f"/audit?limit=100{query}")
    assert answer.status == 200, answer.text
    records: list[dict[str, Any]] = answer.json
    assert sorted(records, key=lambda record: record["id"], reverse=True) == records
    return records
