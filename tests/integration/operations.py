"""Every operation of the API once, and what it asks of AWS."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx

from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.counting import Tally, counted
from tests.integration.neighbours import Neighbours, asks, says, tells
from tests.unit.support import petstore, tarballs

_BUILT_SECONDS = 120


def count_all(
    platform: Runtime, neighbours: Neighbours, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Tally]:
    """Every operation once, after a first request has filled the authorizer's memory, in a tenant of nobody else.

    Args:
        progress: told the name of each operation.

    Raises:
        AssertionError: an operation failed, or did not end.
    """
    client = httpx.Client(base_url=platform.url, headers={"X-API-Key": "counts"}, timeout=30)
    machines = aws_client("stepfunctions", platform.emulator_url)
    found: dict[str, Tally] = {}

    def count(name: str, send: Callable[[], httpx.Response], *, refused: bool = False, ends: bool = True) -> Any:
        progress(name)
        with counted() as tally:
            answer = send()
            assert answer.is_client_error == refused, answer.text
            if ends:
                tally.settle(machines)
        tally.look_back(machines)
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
        count("PUT /agents/{id}", lambda: client.put(agent_path, json={"name": "counted", "role": "first"}))
        count("GET /agents/{id}/stats (no runs)", lambda: client.get(f"{agent_path}/stats"))
        count("GET /tools/{id}", lambda: client.get(tool_path))
        count("GET /tools (a page)", lambda: client.get("/tools"))
        count("GET /tools/types", lambda: client.get("/tools/types"))
        count("GET /tools/{id}/stats (no calls)", lambda: client.get(f"{tool_path}/stats"))
        count("PATCH /tools/{id}", lambda: client.patch(tool_path, json={"description": "Echoes."}))
        count(
            "PUT /tools/{id}",
            lambda: client.put(tool_path, json={"name": "count_echo", "endpoint": f"{platform.tools_url}/echo"}),
        )
        count("POST /tools/{id}/test", lambda: client.post(f"{tool_path}/test", json={}))
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
        count("GET /agents/{id}/tools/{id}", lambda: client.get(f"{agent_path}{tool_path}"))
        task = {"agent_id": agent["id"], "input_message": 'Use count_echo to say "hello"'}
        run = count("POST /runs (one tool)", lambda: client.post("/runs", json=task))
        assert run["status"] == "succeeded"
        assert len(run["tools_called"]) == 1
        plain = {"agent_id": agent["id"], "input_message": "Good morning"}
        count("POST /runs (no tool)", lambda: client.post("/runs", json=plain))
        again = plain | {"session_id": run["session_id"]}
        count("POST /runs (no tool, going on with a session)", lambda: client.post("/runs", json=again))
        count("GET /runs/{id}", lambda: client.get(f"/runs/{run['id']}"))
        count("GET /runs (a page)", lambda: client.get("/runs?limit=2"))
        count("GET /runs?status= (a page)", lambda: client.get("/runs?status=succeeded&limit=2"))
        for place in ("/executions", "/runtime/executions"):
            count(f"GET {place} (a page)", partial(client.get, f"{place}?limit=2"))
            count(f"GET {place}/{{id}}", partial(client.get, f"{place}/{run['id']}"))
            cancel = f"POST {place}/{{id}}/cancel (of an ended run)"
            count(cancel, partial(client.post, f"{place}/{run['id']}/cancel"), refused=True)
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
        given = {"payload": {"input": "Good morning"}}
        count("POST /runtime/{id}/execute (no tool)", lambda: client.post(f"/runtime/{copy['id']}/execute", json=given))
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
        count("GET /agents?kind= (a page)", lambda: client.get("/agents?kind=llm"))
        count("GET /tools?status= (a page)", lambda: client.get("/tools?status=active"))
        client.post("/tools", json={"name": "hash", "category": "counted"})
        count("GET /tools?category= (a page)", lambda: client.get("/tools?category=counted"))
        _count_uploads_and_logs(count, client, run["id"])
        _count_own_code(count, client)
        _count_kinds_of_runs(count, client, neighbours, agent_path, plain)
        client.delete(copy_path)
        count("DELETE /agents/{id}/tools/{id}", lambda: client.delete(f"{agent_path}{tool_path}"))
        count("DELETE /agents/{id}", lambda: client.delete(agent_path))
        count("DELETE /tools/{id}", lambda: client.delete(tool_path))
        key = count("POST /api-keys", lambda: client.post("/api-keys", json={"name": "counted"}))
        count("GET /api-keys (a page)", lambda: client.get("/api-keys"))
        count("DELETE /api-keys/{id}", lambda: client.delete(f"/api-keys/{key['id']}"))
        _count_accounts(count, client, str(platform.url))
        operator = {"X-API-Key": platform.admin_key}
        new = {"name": "counted", "plan": "free", "limits": {"requests": ["1000/day"], "runs": ["1000/day"]}}
        tenant = count("POST /tenants", lambda: client.post("/tenants", json=new, headers=operator))
        tenant_path = f"/tenants/{tenant['id']}"
        count("GET /tenants/{id}", lambda: client.get(tenant_path, headers=operator))
        count("GET /tenants (a page)", lambda: client.get("/tenants?limit=1", headers=operator))
        count("GET /tenants/{id}/usage", lambda: client.get(f"{tenant_path}/usage", headers=operator))
        change = {"name": "counted again"}
        count("PATCH /tenants/{id}", lambda: client.patch(tenant_path, json=change, headers=operator))
        _count_with_limits(count, client, {"X-API-Key": tenant["admin_key"]})
        # What another test was told about the table is forgotten by then.
        time.sleep(1.1)
        count("GET /health/db", lambda: client.get("/health/db"))
        for place in ("/health", "/openapi.json", "/docs", "/redoc"):
            count(f"GET {place}", partial(client.get, place))
        count("GET /auth/test-token (where it is off)", lambda: client.get("/auth/test-token"), refused=True)
        headers = {"Idempotency-Key": "counted"}
        once = {"name": "counted once"}
        count("POST /agents (Idempotency-Key)", lambda: client.post("/agents", json=once, headers=headers))
        count("POST /agents (its replay)", lambda: client.post("/agents", json=once, headers=headers))
        count("POST /agents (refused)", lambda: client.post("/agents", json={"nonsense": 1}), refused=True)
        count("GET /audit (a page)", lambda: client.get("/audit?limit=5"))
        slow = _slow_run(client, neighbours)
        count("POST /runs/{id}/cancel", lambda: client.post(f"/runs/{slow}/cancel"))
        neighbours.gate(_SLOW).set()
    return found


def _count_uploads_and_logs(count: Callable[..., Any], client: httpx.Client, run_id: str) -> None:
    """An upload is announced and never comes, so that no build is counted with what is."""
    agent_id = client.post("/agents", json={"name": "counted code", "kind": "code"}).json()["id"]
    said = {"filename": "agent.tar.gz", "size": 1, "sha256": "0" * 64}
    count("POST /uploads/agent/{id} (a form)", lambda: client.post(f"/uploads/agent/{agent_id}", json=said))
    file = f"/uploads/agents/{agent_id}/artifacts/v1.tar.gz"
    count("GET /uploads/agents/{id}/artifacts/{filename}", lambda: client.get(file))
    count("POST /agents/{id}/logs", lambda: client.post(f"/agents/{agent_id}/logs", json={"message": "counted"}))
    count("GET /agents/{id}/logs", lambda: client.get(f"/agents/{agent_id}/logs"))
    count("GET /logs/{id} (a page)", lambda: client.get(f"/logs/{agent_id}"))
    count("GET /logs/executions/{id}/logs", lambda: client.get(f"/logs/executions/{run_id}/logs"))


def _count_own_code(count: Callable[..., Any], client: httpx.Client) -> None:
    """A run of an agent's own code, which was built before."""
    agent_path = f"/agents/{client.post('/agents', json={'name': 'counted own', 'kind': 'code'}).json()['id']}"
    file = {"file": ("agent.tar.gz", tarballs.agent(), "application/gzip")}
    client.post(f"/uploads{agent_path.replace('agents', 'agent')}", files=file).raise_for_status()
    deadline = time.monotonic() + _BUILT_SECONDS
    while (built := client.get(f"{agent_path}/versions/v1").json())["status"] != "ready":
        assert time.monotonic() < deadline, built
        time.sleep(0.05)
    given = {"payload": {"input": "hello"}}
    execute = f"{agent_path.replace('agents', 'runtime')}/execute"
    count("POST /runtime/{id}/execute (an agent's own code)", lambda: client.post(execute, json=given))


def _count_kinds_of_runs(
    count: Callable[..., Any], client: httpx.Client, neighbours: Neighbours, agent_path: str, plain: dict[str, Any]
) -> None:
    """Runs by other routes, in the background, streamed, with a tool that fails, and cancelled."""
    later = {"Prefer": "respond-async"}
    count("POST /agents/{id}/run (no tool)", lambda: client.post(f"{agent_path}/run", json={"task": "Good morning"}))
    message = {"message": "Good morning"}
    count("POST /agents/{id}/interact (no tool)", lambda: client.post(f"{agent_path}/interact", json=message))
    with_tool = plain | {"input_message": 'Use count_echo to say "hello"'}
    count("POST /runs (one tool, in the background)", lambda: client.post("/runs", json=with_tool, headers=later))
    for name in ("slow", "streaming", "failing"):
        client.post("/agents", json={"name": f"counted {name}", "model": f"custom:counted-{name}"})
    neighbours.script["counted-streaming"] = [tells("Good morning.")]
    streaming = {"agent_id": "counted streaming", "input_message": "Good morning"}
    count("POST /runs/stream (no tool, without its looks)", lambda: client.post("/runs/stream", json=streaming))
    broken = client.post("/tools", json={"name": "count_broken", "endpoint": f"{neighbours.url}/tool/broken"}).json()
    client.post(f"/agents/counted failing/tools/{broken['id']}")
    neighbours.script["counted-failing"] = [asks(("count_broken", {})), says("It is out of order.")]
    task = {"agent_id": "counted failing", "input_message": "Good morning"}
    count("POST /runs (one tool, which fails)", lambda: client.post("/runs", json=task))

    def cancelled() -> httpx.Response:
        answer = client.post(f"/runs/{_slow_run(client, neighbours)}/cancel")
        neighbours.gate(_SLOW).set()
        return answer

    count("POST /runs (cancelled while the model thinks, with its cancel)", cancelled)


_SLOW = "the model has thought"


def _slow_run(client: httpx.Client, neighbours: Neighbours) -> str:
    """A run in the background whose model thinks until the gate `_SLOW` is open."""
    neighbours.gate(_SLOW).clear()
    neighbours.script["counted-slow"] = [says("too late", gate=_SLOW)]
    asked = neighbours.asked("counted-slow")
    task = {"agent_id": "counted slow", "input_message": "Good morning"}
    run = client.post("/runs", json=task, headers={"Prefer": "respond-async"})
    assert run.status_code == 202, run.text
    while neighbours.asked("counted-slow") == asked:
        time.sleep(0.02)
    return str(run.json()["id"])


def _count_with_limits(count: Callable[..., Any], client: httpx.Client, few: dict[str, str]) -> None:
    """What a tenant's limits add."""
    agent = client.post("/agents", json={"name": "counted"}, headers=few).json()["id"]
    count("GET /agents/{id} (with a limit)", lambda: client.get(f"/agents/{agent}", headers=few))
    task = {"agent_id": agent, "input_message": "Good morning"}
    client.post("/runs", json=task, headers=few)
    count("POST /runs (no tool, with a limit)", lambda: client.post("/runs", json=task, headers=few))


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
