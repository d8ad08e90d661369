"""The audit over HTTP: the table's stream reaches its reader, and each call has one record."""

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.running import new_tenant
from tests.permission_proof import RECORDS

pytestmark = pytest.mark.covers("GET /audit")
_PATIENCE_SECONDS = 240


def eventually(read: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    """What is read once it is as it should be; the stream is a moment behind."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not done(value := read()):
        assert time.monotonic() < deadline, f"still {value}"
        time.sleep(0.05)
    return value


def at_least(count: int, found: list[Any]) -> bool:
    return len(found) >= count


def records(client: httpx.Client, **query: str) -> list[dict[str, Any]]:
    """All records of the caller's tenant, newest first."""
    found: list[dict[str, Any]] = []
    answer = client.get("/audit", params={"limit": "100", **query})
    while True:
        assert answer.status_code == 200, answer.text
        found += answer.json()
        if "next" not in answer.links:
            return found
        answer = client.get(answer.links["next"]["url"])


@contextmanager
def of_a_new_tenant(platform: Runtime) -> Iterator[httpx.Client]:
    """The API as the administrator of a tenant of its own, once the gateway knows it."""
    key = new_tenant(platform, f"audit-{uuid.uuid4().hex[:12]}")
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=35) as client:
        eventually(lambda: client.get("/agents").status_code, lambda status: status == 200)
        yield client


@pytest.fixture
def tenant(platform: Runtime) -> Iterator[httpx.Client]:
    with of_a_new_tenant(platform) as client:
        yield client


def mutate(client: httpx.Client, number: int) -> httpx.Response:
    """One of 200 changes, some of which are refused."""
    headers = {"X-Trace-Id": f"change-{number}"}
    match number % 5:
        case 0:
            return client.post(
                "/tools", json={"name": f"tool {number}", "endpoint": "https://x.example/"}, headers=headers
            )
        case 1:
            return client.post("/agents", json={"name": "one of many"}, headers=headers)
        case 2:
            return client.post("/api-keys", json={"nonsense": True}, headers=headers)
        case 3:
            return client.delete(f"/agents/nobody-{number}", headers=headers)
        case _:
            key = {"Idempotency-Key": f"key {number}"}
            return client.post("/agents", json={"name": f"agent {number}"}, headers=headers | key)


def test_each_of_many_calls_at_once_has_one_record(tenant: httpx.Client, other_api: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda number: mutate(tenant, number), range(200)))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses == {201: 81, 409: 39, 422: 40, 404: 40}
    # The stream keeps its order: behind the last change nothing comes any more.
    tenant.post("/tools", json={"name": "the last"}, headers={"X-Trace-Id": "last"})
    found = eventually(lambda: records(tenant), lambda found: "last" in {record["trace_id"] for record in found})
    outcome = {record["trace_id"]: record["outcome"] for record in found if record["trace_id"] != "last"}
    assert len(found) - 1 == len(outcome) == 200
    for answer in answers:
        assert outcome[answer.headers["X-Trace-Id"]] == ("succeeded" if answer.is_success else "refused")
    assert not {record["id"] for record in found} & {record["id"] for record in records(other_api)}
    assert len(records(tenant, outcome="succeeded")) == 81 + 1
    assert len(records(tenant, action="delete_agent")) == 40


def test_a_change_is_told_with_who_and_whence(tenant: httpx.Client) -> None:
    made = tenant.post("/agents?note=secret", json={"name": "told"}, headers={"X-Trace-Id": "told-1"})
    (record,) = eventually(lambda: records(tenant), bool)
    assert (record["action"], record["method"], record["path"]) == ("create_agent", "POST", "/agents")
    assert (record["outcome"], record["trace_id"], record["source_ip"]) == ("succeeded", "told-1", "127.0.0.1")
    assert record["actor"]["user_id"] == made.json()["owner_user_id"]
    assert len(record["actor"]["key_id"]) == 16


def test_another_tenants_audit_is_out_of_reach(tenant: httpx.Client, platform: Runtime) -> None:
    tenant.post("/agents", json={"name": "mine"})
    eventually(lambda: records(tenant), bool)
    tenant.post("/agents", json={"name": "mine"})
    cursor = tenant.get("/audit?limit=1").headers["X-Next-Cursor"]
    with of_a_new_tenant(platform) as stranger:
        assert records(stranger) == []
        assert records(stranger, cursor=cursor, path="/agents", action="create_agent") == []


def test_a_record_that_cannot_be_read_is_put_aside_and_the_next_one_recorded(
    platform: Runtime, tenant: httpx.Client
) -> None:
    dynamodb = aws_client("dynamodb", platform.emulator_url)
    sqs = aws_client("sqs", platform.emulator_url)
    poison = {"pk": {"S": "TENANT#x#AGENT"}, "sk": {"S": uuid.uuid4().hex}, "doc": {"S": "{}"}, "version": {"N": "1"}}
    dynamodb.put_item(TableName=platform.stack.resources["Table"], Item=poison | {"by": {"S": "{"}})
    tenant.post("/agents", json={"name": "behind"})
    eventually(lambda: records(tenant), bool)
    letters = sqs.receive_message(QueueUrl=platform.stack.resources["AuditDeadLetters"], MaxNumberOfMessages=10)
    sorts = [json.loads(one["Body"])["record"]["dynamodb"]["Keys"]["sk"] for one in letters["Messages"]]
    assert poison["sk"] in sorts


def test_the_stream_goes_on_after_a_restart(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    for count in (1, 2, 3):
        with Runtime(tmp_path, port, record_permissions=RECORDS) as runtime:
            key = {"X-API-Key": runtime.admin_key}
            with httpx.Client(base_url=runtime.url, headers=key, timeout=35) as client:
                assert client.post("/agents", json={"name": f"start {count}"}).status_code == 201
                found = eventually(partial(records, client, path="/agents"), partial(at_least, count))
                assert len(found) == count
