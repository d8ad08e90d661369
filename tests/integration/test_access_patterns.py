"""docs/access-patterns.md says what each operation costs; here it is counted."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks import costs
from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.counting import Tally, counted
from tests.integration.neighbours import Neighbours, says
from tests.unit.support import petstore

DOC = Path(__file__).parents[2] / "docs/access-patterns.md"
# What is found by another thing's key: by its name, or through a list of pointers.
TWO_READS = {
    "GET /agents/{name}",
    "GET /runs (a page, by agent)",
    "GET /runs/{id}/stream (of an ended run)",
    "GET /sessions (a page)",
    "GET /sessions/{id}/messages",
}
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def measured(platform: Runtime, neighbours: Neighbours) -> dict[str, Tally]:
    """Every operation once, after a first request has filled the authorizer's memory."""
    client = httpx.Client(base_url=platform.url, headers={"X-API-Key": "theirs"}, timeout=30)
    found: dict[str, Tally] = {}

    def count(name: str, send: Callable[[], httpx.Response], *, refused: bool = False) -> Any:
        with counted() as tally:
            answer = send()
        assert answer.is_client_error == refused, answer.text
        found[name] = tally
        return answer.json() if answer.headers.get("Content-Type") == "application/json" else None

    with client:
        client.get("/agents")
        tool = count(
            "POST /tools",
            lambda: client.post("/tools", json={"name": "count_echo", "endpoint": f"{platform.tools_url}/echo"}),
        )
        agent = count("POST /agents", lambda: client.post("/agents", json={"name": "counted"}))
        tool_path, agent_path = f"/tools/{tool['id']}", f"/agents/{agent['id']}"
        count("GET /agents/{id}", lambda: client.get(agent_path))
        count("GET /agents/{name}", lambda: client.get("/agents/counted"))
        count("GET /tools/{id}", lambda: client.get(tool_path))
        count("GET /tools/categories", lambda: client.get("/tools/categories"))
        count("POST /tools/{id}/execute", lambda: client.post(f"{tool_path}/execute", json={}))
        count("POST /tools/{id}/validate", lambda: client.post(f"{tool_path}/validate", json={}))
        count("POST /tools/{id}/deploy (active)", lambda: client.post(f"{tool_path}/deploy"))
        pets = {"document": petstore.document(), "include_operations": ["getPet", "createPet"]}
        count("POST /tools/import (2 tools)", lambda: client.post("/tools/import", json=pets))
        count("GET /agents (a page)", lambda: client.get("/agents"))
        count("PATCH /agents/{id}", lambda: client.patch(agent_path, json={"role": "counter"}))
        count("PATCH /agents/{id} (new name)", lambda: client.patch(agent_path, json={"name": "counted again"}))
        count("POST /agents/{id}/tools/{id}", lambda: client.post(f"{agent_path}{tool_path}"))
        count("GET /agents/{id}/tools", lambda: client.get(f"{agent_path}/tools"))
        task = {"agent_id": agent["id"], "input_message": 'Use count_echo to say "hello"'}
        run = count("POST /runs (one tool)", lambda: client.post("/runs", json=task))
        assert run["status"] == "succeeded"
        assert len(run["tools_called"]) == 1
        plain = {"agent_id": agent["id"], "input_message": "Good morning"}
        count("POST /runs (no tool)", lambda: client.post("/runs", json=plain))
        again = plain | {"session_id": run["session_id"]}
        count("POST /runs (no tool, going on with a session)", lambda: client.post("/runs", json=again))
        count("GET /runs/{id}", lambda: client.get(f"/runs/{run['id']}"))
        count("GET /runs (a page)", lambda: client.get("/runs"))
        count("GET /runs/{id}/events", lambda: client.get(f"/runs/{run['id']}/events"))
        count("GET /runs/{id}/stream (of an ended run)", lambda: client.get(f"/runs/{run['id']}/stream"))
        third = plain | {"session_id": run["session_id"]}
        count("POST /runs (no tool, a session's third)", lambda: client.post("/runs", json=third))
        named = plain | {"session_id": "counted"}
        count("POST /runs (no tool, a new session)", lambda: client.post("/runs", json=named))
        count("GET /sessions (a page)", lambda: client.get("/sessions"))
        count("GET /sessions/{id}", lambda: client.get("/sessions/counted"))
        count("GET /sessions/{id}/messages", lambda: client.get("/sessions/counted/messages"))
        count("DELETE /sessions/{id}", lambda: client.delete("/sessions/counted"))
        count("GET /runs (a page, by agent)", lambda: client.get(f"/runs?agent_id={agent['id']}"))
        copy = count("POST /agents/{id}/clone (one tool)", lambda: client.post(f"{agent_path}/clone"))
        copy_path = f"/agents/{copy['id']}"
        version = count("POST /agents/{id}/publish", lambda: client.post(f"{copy_path}/publish"))["current_version"]
        task = task | {"agent_id": copy["id"]}
        count("POST /runs (one tool, of a published agent)", lambda: client.post("/runs", json=task))
        count("GET /agents/{id}/versions (a page)", lambda: client.get(f"{copy_path}/versions"))
        count("GET /agents/{id}/versions/{version}", lambda: client.get(f"{copy_path}/versions/{version}"))
        client.post(f"{copy_path}/publish")
        activate = f"{copy_path}/versions/{version}/activate"
        count("POST /agents/{id}/versions/{version}/activate", lambda: client.post(activate))
        count("POST /agents/{id}/deploy", lambda: client.post(f"{copy_path}/deploy"))
        count("POST /agents/{id}/undeploy", lambda: client.post(f"{copy_path}/undeploy"))
        count("GET /agents?q= (a page)", lambda: client.get("/agents?q=counted"))
        count("GET /agents?tool_name= (a page)", lambda: client.get("/agents?tool_name=count_echo"))
        count("GET /agents?status= (a page)", lambda: client.get("/agents?status=published"))
        client.delete(copy_path)
        count("DELETE /agents/{id}/tools/{id}", lambda: client.delete(f"{agent_path}{tool_path}"))
        count("DELETE /agents/{id}", lambda: client.delete(agent_path))
        count("DELETE /tools/{id}", lambda: client.delete(tool_path))
        key = count("POST /api-keys", lambda: client.post("/api-keys", json={"name": "counted"}))
        count("GET /api-keys (a page)", lambda: client.get("/api-keys"))
        count("DELETE /api-keys/{id}", lambda: client.delete(f"/api-keys/{key['id']}"))
        _count_accounts(count, client, str(platform.url))
        operator = {"X-API-Key": platform.admin_key}
        new = {"name": "counted", "plan": "free", "limits": {"requests": ["1000/day"]}}
        tenant = count("POST /tenants", lambda: client.post("/tenants", json=new, headers=operator))
        tenant_path = f"/tenants/{tenant['id']}"
        count("GET /tenants/{id}", lambda: client.get(tenant_path, headers=operator))
        count("GET /tenants (a page)", lambda: client.get("/tenants?limit=1", headers=operator))
        count("GET /tenants/{id}/usage", lambda: client.get(f"{tenant_path}/usage", headers=operator))
        change = {"name": "counted again"}
        count("PATCH /tenants/{id}", lambda: client.patch(tenant_path, json=change, headers=operator))
        few = {"X-API-Key": tenant["admin_key"]}
        few_agent = client.post("/agents", json={"name": "counted"}, headers=few).json()
        count("GET /agents/{id} (with a limit)", lambda: client.get(f"/agents/{few_agent['id']}", headers=few))
        # What another test was told about the table is forgotten by then.
        time.sleep(1.1)
        count("GET /health/db", lambda: client.get("/health/db"))
        headers = {"Idempotency-Key": "counted"}
        once = {"name": "counted once"}
        count("POST /agents (Idempotency-Key)", lambda: client.post("/agents", json=once, headers=headers))
        count("POST /agents (its replay)", lambda: client.post("/agents", json=once, headers=headers))
        count("POST /agents (refused)", lambda: client.post("/agents", json={"nonsense": 1}), refused=True)
        count("GET /audit (a page)", lambda: client.get("/audit?limit=5"))
        # Last, since its worker comes back later: the model thinks until nobody counts any more.
        neighbours.script["counted"] = [says("too late", gate="until nobody counts any more")]
        client.post("/agents", json={"name": "counted slow", "model": "custom:counted"})
        slow = {"agent_id": "counted slow", "input_message": "Good morning"}
        slow_id = client.post("/runs", json=slow, headers={"Prefer": "respond-async"}).json()["id"]
        while not neighbours.asked("counted"):
            time.sleep(0.02)
        count("POST /runs/{id}/cancel", lambda: client.post(f"/runs/{slow_id}/cancel"))
        neighbours.gate("until nobody counts any more").set()
    return found


def _count_accounts(count: Callable[..., Any], admin: httpx.Client, url: str) -> None:
    """Somebody founds a tenant, somebody else joins the administrator's and comes and goes."""
    with httpx.Client(base_url=url, timeout=30) as visitor:
        founder = {"email": "founder@example.com", "username": "counted-founder", "password": "counted founder"}
        count("POST /auth/register", lambda: visitor.post("/auth/register", json=founder))
        invite = count("POST /users/invite", lambda: admin.post("/users/invite", json={"role": "user"}))
        joins = {"email": "joins@example.com", "username": "counted", "password": "counted joins"}
        joins["invite_token"] = invite["invite_token"]
        user = count("POST /auth/register (invited)", lambda: visitor.post("/auth/register", json=joins))
        given = {"username": "counted", "password": "counted joins"}
        tokens = count("POST /auth/login", lambda: visitor.post("/auth/login", json=given))
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        renew = {"refresh_token": tokens["refresh_token"]}
        count("POST /auth/refresh", lambda: visitor.post("/auth/refresh", json=renew))
        visitor.get("/auth/me", headers=bearer)
        count("GET /auth/me", lambda: visitor.get("/auth/me", headers=bearer))
        count("GET /users (a page)", lambda: admin.get("/users?limit=1"))
        path = f"/users/{user['id']}"
        count("PATCH /users/{id}", lambda: admin.patch(path, json={"full_name": "Counted"}))
        count("PATCH /users/{id} (becomes an administrator)", lambda: admin.patch(path, json={"role": "admin"}))
        count("POST /auth/logout", lambda: visitor.post("/auth/logout", headers=bearer))
        key = admin.post("/api-keys", json={"name": "counted for a token"}).json()["key"]
        count("POST /auth/token", lambda: visitor.post("/auth/token", headers={"X-API-Key": key}))


def test_figures_are_as_documented(measured: dict[str, Tally]) -> None:
    written = {name: (int(a), int(b), int(c)) for name, a, b, c in ROW.findall(DOC.read_text())}
    counted_now = {
        name: (tally.total, int(tally.read_units), int(tally.write_units)) for name, tally in measured.items()
    }
    table = "\n".join(f"{name} | {' | '.join(map(str, figures))}" for name, figures in counted_now.items())
    assert written == counted_now, f"the figures to write down are:\n{table}"


def test_a_read_is_one_request_and_a_write_one_request_or_transaction(measured: dict[str, Tally]) -> None:
    for name, tally in measured.items():
        looks_up = any(word in name for word in ("/versions", "?q=", "?tool_name=", "/usage"))
        if name.startswith("GET ") and not looks_up:
            assert tally.total - tally.requests["UpdateItem"] == (2 if name in TWO_READS else 1), name
        if name in {"POST /tools", "POST /agents", "POST /api-keys"}:
            assert tally.requests == {"TransactWriteItems": 1}, name


def test_a_one_tool_run_costs_at_most_14_requests_and_16_write_units(measured: dict[str, Tally]) -> None:
    for name in ("POST /runs (one tool)", "POST /runs (one tool, of a published agent)"):
        assert measured[name].total <= 14, name
        assert measured[name].write_units <= 16, name


def test_a_one_tool_run_takes_six_state_transitions_and_three_worker_calls(platform: Runtime) -> None:
    machines = aws_client("stepfunctions", platform.emulator_url)
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": "theirs"}, timeout=30) as client:
        tool = client.post("/tools", json={"name": "steps_echo", "endpoint": f"{platform.tools_url}/echo"}).json()
        agent = client.post("/agents", json={"name": "steps", "tool_ids": [tool["id"]]}).json()
        task = {"agent_id": agent["id"], "input_message": 'Use steps_echo to say "hello"'}
        run = client.post("/runs", json=task).json()
    assert run["status"] == "succeeded"
    assert len(run["tools_called"]) == 1
    entered, called = _history(machines, run["id"])
    assert entered == ["CallModel", "WhatNext", "CallTool", "CallModel", "WhatNext", "Done"]
    assert called == 3


def test_the_machine_does_what_costs_are_worked_out_from(platform: Runtime) -> None:
    machines = aws_client("stepfunctions", platform.emulator_url)
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": "theirs"}, timeout=30) as client:
        tool = client.post("/tools", json={"name": "costs_echo", "endpoint": f"{platform.tools_url}/echo"}).json()
        agent = client.post("/agents", json={"name": "costs", "tool_ids": [tool["id"]]}).json()
        for name, path, body in (
            ("POST /runs (one tool)", "/runs", {"input_message": 'Use costs_echo to say "hello"'}),
            ("POST /runs (no tool)", "/runs", {"input_message": "Good morning"}),
            ("POST /tools/{id}/execute", f"/tools/{tool['id']}/execute", {}),
        ):
            run = client.post(path, json={"agent_id": agent["id"], **body} if body else {}).json()
            assert run["status"] == "succeeded", run
            entered, called = _history(machines, run["id"])
            expected = costs.steps(name)
            assert expected is not None
            assert (len(entered), called) == (expected.transitions, expected.workers), name


def _history(machines: Any, run_id: str) -> tuple[list[str], int]:
    """The states that a run's execution entered, and how often it called a function."""
    for machine in machines.list_state_machines()["stateMachines"]:
        for execution in machines.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
            if execution["name"] == run_id:
                arn = execution["executionArn"]
                events = machines.get_execution_history(executionArn=arn, maxResults=1000)["events"]
                entered = [e["stateEnteredEventDetails"]["name"] for e in events if e["type"].endswith("StateEntered")]
                return entered, sum(event["type"] == "TaskScheduled" for event in events)
    raise AssertionError(f"no execution is named {run_id}")
