"""`python -m operations.restore_items`: a tenant that was deleted by mistake comes back, its gateway key, too."""

import time

import httpx

from local.deploy import client
from local.runtime import Runtime
from tests.integration import operator_commands as operator
from tests.integration.running import new_tenant

_ENOUGH_SECONDS = 30


def test_a_deleted_tenant_comes_back(platform: Runtime) -> None:
    tenant, headers = "comes-back", {"X-API-Key": platform.admin_key}
    key = new_tenant(platform, tenant)
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=35) as api:
        assert api.post("/agents", json={"name": "support"}).status_code == 201
    table = platform.stack.resources["Table"]
    restored = f"{table}-restored"
    patch = {"url": f"{platform.url}/tenants/{tenant}", "headers": headers, "timeout": 35}
    assert httpx.patch(json={"status": "suspended"}, **patch).status_code == 200  # type: ignore[arg-type]
    dynamodb = client("dynamodb", platform.emulator_url)
    dynamodb.restore_table_to_point_in_time(
        SourceTableName=table, TargetTableName=restored, UseLatestRestorableTime=True
    )
    operator.done(platform, "delete_tenant", "--tenant", tenant, "--now", "--yes")
    assert httpx.patch(json={}, **patch).status_code == 404  # type: ignore[arg-type]

    about = ("--from", restored, "--tenant", tenant)
    assert "stack's own table" in operator.refusal(platform, "restore_items", "--from", table)
    assert "Nothing was changed" in operator.done(platform, "restore_items", *about)
    assert httpx.patch(json={}, **patch).status_code == 404  # type: ignore[arg-type]
    assert "put back" in operator.done(platform, "restore_items", *about, "--yes")
    assert httpx.patch(json={"status": "active"}, **patch).status_code == 200  # type: ignore[arg-type]
    dynamodb.delete_table(TableName=restored)

    gateway = client("apigateway", platform.emulator_url)
    name, deadline = f"{platform.stack.name}:tenant:{tenant}", time.monotonic() + _ENOUGH_SECONDS
    while name not in {found["name"] for found in gateway.get_api_keys(limit=500)["items"]}:
        assert time.monotonic() < deadline, "the stream told of the record"
        time.sleep(0.05)
    record = httpx.get(f"{platform.url}/tenants/{tenant}", headers=headers, timeout=35).json()
    assert (record["id"], record["status"]) == (tenant, "active")
