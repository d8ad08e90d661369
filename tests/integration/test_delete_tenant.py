"""`python -m operations.delete_tenant` on the running platform: one tenant goes, its neighbour keeps every byte."""

import json
import signal
import subprocess
import time
from typing import Any

import httpx

from local.deploy import client
from local.runtime import ROOT, Runtime
from tests.integration import operator_commands as operator
from tests.integration.running import new_tenant

# The readers of the table's stream write these a moment later; the test does not wait for them (the command does).
_READERS = ("#AUDIT", "#STAT", "#USAGE")


def table_of(platform: Runtime) -> dict[tuple[str, str], str]:
    """The whole table, each item as a text."""
    pages = (
        client("dynamodb", platform.emulator_url)
        .get_paginator("scan")
        .paginate(TableName=platform.stack.resources["Table"], ConsistentRead=True)
    )
    items = [item for page in pages for item in page["Items"]]
    return {(item["pk"]["S"], item["sk"]["S"]): json.dumps(item, sort_keys=True) for item in items}


def of(tenant: str, table: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    """What names a tenant, wherever it stands: its partitions, its entries in the directory and in the list."""
    return {place: text for place, text in table.items() if tenant in text}


def gateway_names(platform: Runtime) -> set[str]:
    """The names of the gateway's keys and plans."""
    gateway = client("apigateway", platform.emulator_url)
    found = gateway.get_api_keys(limit=500)["items"] + gateway.get_usage_plans(limit=500)["items"]
    return {one["name"] for one in found}


def furnished(platform: Runtime, tenant: str, agents: int) -> str:
    """A tenant that has used the platform; its administrator's key."""
    key = new_tenant(platform, tenant, burst=4_000)
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=35) as api:

        def post(path: str, body: Any) -> Any:
            answer = api.post(path, json=body)
            assert answer.status_code < 300, answer.text
            return answer.json()

        for n in range(agents):
            post("/agents", {"name": f"agent-{n}", "status": "published"})
        assert post("/runs", {"agent_id": "agent-0", "input_message": "hello"})["status"] == "succeeded"
        invite = post("/users/invite", {"email": f"left@{tenant}.example"})
        assert invite["invite_token"]
        joined = post("/users/invite", {})["invite_token"]
        user = {"email": f"one@{tenant}.example", "username": f"one.{tenant}", "password": "correct horse battery"}
        post("/auth/register", user | {"invite_token": joined})
        post("/auth/login", {"username": user["username"], "password": user["password"]})
    return key


def suspend(platform: Runtime, tenant: str) -> None:
    answer = httpx.patch(
        f"{platform.url}/tenants/{tenant}",
        json={"status": "suspended"},
        headers={"X-API-Key": platform.admin_key},
        timeout=35,
    )
    assert answer.status_code == 200, answer.text


def test_one_tenant_goes_and_its_neighbour_keeps_every_byte(platform: Runtime) -> None:
    gone, stays = "goes-away", "goes-away-not"
    key, neighbour = furnished(platform, gone, 40), furnished(platform, stays, 3)
    arguments = ("--tenant", gone)
    assert "suspend it first" in operator.refusal(platform, "delete_tenant", *arguments, "--yes", "--now")
    suspend(platform, gone)
    assert "may be under way" in operator.refusal(platform, "delete_tenant", *arguments, "--yes")

    before = table_of(platform)
    told = operator.done(platform, "delete_tenant", *arguments, "--now")
    assert "Nothing was deleted" in told
    assert table_of(platform) == before

    # Killed in the middle of it, whenever that is, the same command goes on.
    started = subprocess.Popen(
        operator.command(platform, "delete_tenant", *arguments, "--now", "--yes"),
        cwd=ROOT,
        env=operator.environment(platform) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    started.stdout.readline()
    started.send_signal(signal.SIGKILL)
    started.communicate(timeout=60)
    again = operator.run(platform, "delete_tenant", *arguments, "--now", "--yes")
    assert f"{gone} is deleted" in again.stdout or "No such tenant" in again.stderr, again.stdout + again.stderr

    after = table_of(platform)
    own = {place for place in after if place[0].startswith(f"TENANT#{gone}#") and not place[0].endswith(_READERS)}
    assert own == set()
    operators = "TENANT#demo#AUDIT"
    quoted = json.dumps(json.dumps(gone))[1:-1]
    left = {place for place in of(quoted, after) | of(f"@{gone}.example", after) if place[0] != operators}
    assert left == set()
    assert len(of(stays, before)) > 10
    for place, text in of(stays, before).items():
        assert place in after
        assert after[place] == text or place[0].endswith(_READERS), place
    names = gateway_names(platform)
    assert not {name for name in names if name.endswith(f":tenant:{gone}")}
    assert {name for name in names if name.endswith(f":tenant:{stays}")}
    assert httpx.get(f"{platform.url}/agents", headers={"X-API-Key": neighbour}, timeout=35).status_code == 200
    # The gateway follows its control plane within seconds, the authorizer's memory ends after a minute.
    deadline = time.monotonic() + 75
    while httpx.get(f"{platform.url}/agents", headers={"X-API-Key": key}, timeout=35).status_code == 200:
        assert time.monotonic() < deadline, "a key outlives its tenant"
        time.sleep(0.1)
    assert "NotFound" in operator.refusal(platform, "delete_tenant", *arguments)
