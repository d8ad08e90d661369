"""Document 2's walk over HTTP: from a registration to the logs of an agent's runs, and to a cancel."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.unit.support import tarballs

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "code-agent"
# What never ends would wait here for ever.
_SECONDS = 120


@pytest.fixture
def anybody(platform: Runtime) -> Iterator[httpx.Client]:
    """A client without a key, at the base path of document 2."""
    with httpx.Client(base_url=f"{platform.url}/api/v1", timeout=_SECONDS) as client:
        yield client


def registered(anybody: httpx.Client) -> dict[str, str]:
    """A new tenant's user, who has logged in and made a key; the headers that say so."""
    name = f"u{uuid.uuid4().hex[:12]}"
    person = {"email": f"{name}@example.com", "username": name, "password": "correct horse battery"}
    answer = anybody.post("/auth/register", json=person)
    assert answer.status_code == 201, answer.text
    login = {"username": name, "password": person["password"]}
    token = anybody.post("/auth/login", json=login).json()["access_token"]
    key = anybody.post("/api-keys", json={"name": "My CLI Key"}, headers={"Authorization": f"Bearer {token}"})
    assert key.status_code == 201, key.text
    return {"X-API-Key": key.json()["key"]}


def ready(api: httpx.Client, agent_id: str, archive: bytes, version: str) -> None:
    """Upload an archive and wait until the agent is built."""
    sent = api.post(f"/uploads/agent/{agent_id}", files={"file": ("agent.tar.gz", archive, "application/gzip")})
    assert (sent.status_code, sent.json()["version"], sent.json()["status"]) == (201, version, "queued")
    deadline = time.monotonic() + _SECONDS
    while (built := api.get(f"/agents/{agent_id}/versions/{version}").json())["status"] in {"queued", "building"}:
        assert time.monotonic() < deadline, built
        time.sleep(0.05)
    assert built["status"] == "ready", built["build_log"]
    agent = api.get(f"/agents/{agent_id}").json()
    assert (agent["status"], agent["current_version_id"]) == ("ready", built["id"])


@pytest.mark.covers(
    "POST /auth/register",
    "POST /auth/login",
    "POST /api-keys",
    "POST /agents",
    "POST /uploads/agent/{agent_id}",
    "POST /runtime/{agent_id}/execute",
    "GET /runtime/executions",
    "GET /runtime/executions/{execution_id}",
    "POST /runtime/executions/{execution_id}/cancel",
    "GET /logs/{agent_id}",
    "GET /logs/executions/{execution_id}/logs",
)
def test_from_a_registration_to_logs_and_a_cancel(anybody: httpx.Client, tmp_path: Path) -> None:
    archive = tmp_path / "agent.tar.gz"
    subprocess.run([sys.executable, EXAMPLE / "pack.py", EXAMPLE, "--out", archive], check=True, capture_output=True)
    with httpx.Client(base_url=anybody.base_url, headers=registered(anybody), timeout=_SECONDS) as api:
        agent = api.post("/agents", json={"name": "my-agent", "description": "My AI agent"}).json()
        assert (agent["status"], agent["current_version_id"]) == ("draft", None)
        ready(api, agent["id"], archive.read_bytes(), "v1")

        answer = api.post(f"/runtime/{agent['id']}/execute", json={"payload": {"input": "one two two"}})
        assert answer.status_code == 201, answer.text
        done = answer.json()
        assert (done["status"], done["output_data"]) == ("completed", {"words": 3, "most": {"two": 2, "one": 1}})
        assert done["input_data"] == {"input": "one two two"}
        assert done["agent_version_id"] == api.get(f"/agents/{agent['id']}").json()["current_version_id"]
        of_version = {"agent_version_id": done["agent_version_id"], "skip": 0, "limit": 100}
        assert api.get("/runtime/executions", params=of_version).json() == [done]
        assert api.get(f"/runtime/executions/{done['id']}").json() == done

        lines = api.get(f"/logs/{agent['id']}").json()
        assert {line["source"] for line in lines} == {"build", "runtime"}
        assert "Build of v1 ended: ready." in [line["message"] for line in lines]
        assert lines[-1]["message"] == f"Execution {done['id']} completed successfully"
        own: list[Any] = api.get(f"/logs/executions/{done['id']}/logs").json()
        assert own == [line for line in lines if line["source"] == "runtime"]

        ready(api, agent["id"], tarballs.agent(b"import time\ndef handle(p):\n    time.sleep(29)\n"), "v2")
        later = {"Prefer": "respond-async"}
        begun = api.post("/runs", json={"agent_id": agent["id"], "input_message": "x"}, headers=later).json()
        cancelled = api.post(f"/runtime/executions/{begun['id']}/cancel")
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert api.get(f"/runtime/executions/{begun['id']}").json()["status"] == "cancelled"
