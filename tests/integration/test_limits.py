"""Limits over HTTP: exact under any number of requests at once, per tenant, and those that document 0 promises."""

import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.running import new_tenant

pytestmark = pytest.mark.covers("POST /tenants", "GET /agents", "POST /runs")

AT_ONCE = 64
_SECONDS = {"minute": 60, "hour": 3_600, "day": 86_400}


def window(seconds: float = 300) -> str:
    """A kind of window that does not end within these seconds; at midnight, after a pause."""
    while True:
        for unit, size in _SECONDS.items():
            if size - time.time() % size > seconds:
                return unit
        time.sleep(1)


def send(platform: Runtime, key: str, times: int, path: str = "/agents") -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=AT_ONCE)
    with (
        httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=60, limits=limits) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        return list(pool.map(lambda _: client.get(path), range(times)))


def statuses(answers: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(answer.status_code for answer in answers))


def test_of_1000_requests_at_once_against_10_a_window_exactly_10_are_accepted(platform: Runtime) -> None:
    for unit in (window(25), "hour", "day"):
        limits = {"requests": [f"10/{unit}"]}
        key = new_tenant(platform, f"ten-{uuid.uuid4().hex[:12]}", plan="free", limits=limits, burst=2_000)
        number = time.time() // _SECONDS[unit]
        answers = send(platform, key, 1_000)
        # Once more if the window ended meanwhile, as it may on a busy machine.
        if time.time() // _SECONDS[unit] == number:
            break
    assert statuses(answers) == {200: 10, 429: 990}
    accepted = [answer for answer in answers if answer.status_code == 200]
    left = sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in accepted)
    assert left == list(range(10)), "each of the ten was told another rest"
    for answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "10"
        assert int(answer.headers["X-RateLimit-Reset"]) % _SECONDS[unit] == 0
    for refused in (answer for answer in answers if answer.status_code == 429):
        assert refused.json()["code"] == "rate_limited"
        assert 0 < int(refused.headers["Retry-After"]) <= _SECONDS[unit]


@pytest.mark.parametrize(("tenant", "limit", "unit"), [("tenant_a", 10, "hour"), ("tenant_c", 5, "minute")])
def test_the_demo_tenants_have_the_limits_of_document_0(platform: Runtime, tenant: str, limit: int, unit: str) -> None:
    size = _SECONDS[unit]
    if size - time.time() % size < 20:
        time.sleep(size - time.time() % size)
    assert statuses(send(platform, tenant, limit + 5)) == {200: limit, 429: 5}


def test_the_demo_tenant_b_has_200_a_day_and_the_demo_tenant_no_limit(platform: Runtime) -> None:
    (answer,) = send(platform, "tenant_b", 1)
    assert answer.headers["X-RateLimit-Limit"] == "200"
    assert int(answer.headers["X-RateLimit-Remaining"]) < 200
    (answer,) = send(platform, platform.admin_key, 1)
    assert "X-RateLimit-Limit" not in answer.headers


def test_a_tenant_far_over_its_limit_takes_nothing_from_another(platform: Runtime) -> None:
    """A at ten times its limit, B at half of its own: B is never refused."""
    unit = window()
    keys = {
        name: new_tenant(platform, f"neighbour-{name}", plan="free", limits={"requests": [f"40/{unit}"]})
        for name in ("a", "b")
    }
    with ThreadPoolExecutor(2) as pool:
        noisy = pool.submit(send, platform, keys["a"], 400)
        quiet = pool.submit(send, platform, keys["b"], 20)
    assert statuses(noisy.result()) == {200: 40, 429: 360}
    assert statuses(quiet.result()) == {200: 20}


def test_runs_have_a_limit_of_their_own(platform: Runtime) -> None:
    key = new_tenant(platform, "runner", plan="free", limits={"requests": [], "runs": [f"2/{window()}"]})
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=35) as client:
        client.post("/agents", json={"name": "runner", "status": "published"})
        task: dict[str, Any] = {"agent_id": "runner", "input_message": "Good morning"}
        answers = [client.post("/runs", json=task) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [201, 201, 429]
        assert answers[2].headers["X-RateLimit-Limit"] == "2"
        assert client.get("/runs").status_code == 200
        assert len(client.get("/runs").json()) == 2


def test_50_runs_at_once_never_exceed_a_budget_together(platform: Runtime) -> None:
    cap = 2_000
    key = new_tenant(platform, "frugal", plan="unlimited", limits={"tokens": f"{cap}/{window()}"})
    with (
        httpx.Client(base_url=platform.url, headers={"X-API-Key": key}, timeout=60) as client,
        ThreadPoolExecutor(16) as pool,
    ):
        params = {"max_tokens": 300}
        client.post("/agents", json={"name": "frugal", "status": "published", "llm_params": params})
        task: dict[str, Any] = {"agent_id": "frugal", "input_message": "Good morning"}
        runs = [answer.json() for answer in pool.map(lambda _: client.post("/runs", json=task), range(50))]
    ended = Counter((run["status"], run["stop_reason"]) for run in runs)
    assert ended.keys() <= {("succeeded", "completed"), ("failed", "budget_tokens")}
    assert ended["succeeded", "completed"] > 0
    assert sum(run["total_tokens"] or 0 for run in runs) <= cap


def test_the_gateway_counts_each_tenant_by_a_key_of_its_own(platform: Runtime) -> None:
    """The outer wall: a burst of its own, which another tenant of the same tier does not feel."""
    keys = {}
    for tenant, burst in (("walled", 5), ("free", None)):
        keys[tenant] = new_tenant(
            platform, tenant, plan="free", limits={"requests": ["1/second"] if burst else []}, burst=burst
        )
        wait_for_gateway_key(platform, tenant)
    answers = send(platform, keys["walled"], 300)
    walls = [answer for answer in answers if "X-RateLimit-Limit" not in answer.headers]
    assert walls, "the gateway refused some by itself"
    assert {(answer.status_code, answer.json()["code"]) for answer in walls} == {(429, "rate_limited")}
    assert {answer.headers["Retry-After"] for answer in walls} == {"1"}
    assert statuses(send(platform, keys["free"], 50)) == {200: 50}


def wait_for_gateway_key(platform: Runtime, tenant: str) -> None:
    """Until the table's stream has brought the tenant its key."""
    gateway: Any = aws_client("apigateway", platform.emulator_url)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        keys = [key["id"] for key in gateway.get_api_keys(limit=500)["items"] if key["name"].endswith(f":{tenant}")]
        if keys and gateway.get_usage_plans(keyId=keys[0])["items"]:
            time.sleep(0.2)
            return
        time.sleep(0.05)
    raise AssertionError(f"{tenant} has no key at the gateway")
