"""Figures of agents and tools over HTTP: the sums of what was run."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.test_audit import eventually, of_a_new_tenant

pytestmark = pytest.mark.covers("GET /agents/{agent_ref}/stats", "GET /tools/{tool_ref}/stats")


@pytest.fixture
def tenant(platform: Runtime) -> Iterator[httpx.Client]:
    with of_a_new_tenant(platform) as client:
        yield client


def test_figures_are_the_sums_of_the_runs_made(tenant: httpx.Client, platform: Runtime) -> None:
    tool = tenant.post("/tools", json={"name": "told", "endpoint": f"{platform.tools_url}/echo"}).json()
    agent = tenant.post("/agents", json={"name": "figures", "tool_ids": [tool["id"]]}).json()

    def run(number: int) -> Any:
        task = 'Use told to say "hello"' if number % 2 else "Good morning"
        answer = tenant.post("/runs", json={"agent_id": agent["id"], "input_message": task})
        assert answer.status_code == 201, answer.text
        return answer.json()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(run, range(12)))
    assert tenant.post("/tools/told/test", json={"args": {"text": "x"}}).status_code == 201
    assert tenant.post("/tools/told/execute", json={"args": {"text": "x"}}).status_code == 201

    found = settled(
        partial(read, tenant, "/agents/figures/stats?window=1h"), lambda stats: stats["runs"]["total"] >= 12
    )
    assert found["runs"] == {"total": 12, "succeeded": 12, "failed": 0, "cancelled": 0, "timed_out": 0}
    assert found["tokens"]["total"] == sum(one["total_tokens"] for one in made)
    assert 0 < found["duration_ms"]["p50"] <= found["duration_ms"]["p95"]
    calls = settled(partial(read, tenant, "/tools/told/stats"), lambda stats: stats["calls"]["total"] >= 7)
    assert calls["calls"] == {"total": 7, "succeeded": 7, "failed": 0}


def read(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def settled(look: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    eventually(look, done)
    return look()


def test_an_agent_of_another_tenant_has_no_figures(api: httpx.Client, other_api: httpx.Client) -> None:
    name = f"theirs {uuid.uuid4()}"
    theirs = other_api.post("/agents", json={"name": name}).json()["id"]
    for ref in (theirs, name):
        assert api.get(f"/agents/{ref}/stats").status_code == 404
    assert other_api.get(f"/agents/{theirs}/stats").json()["runs"]["total"] == 0
