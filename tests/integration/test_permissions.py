"""A permission that is missing on AWS is missing here: planted faults, and what callers see of them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from local import template
from local.runtime import ROOT, Runtime

# What each function is no longer granted.
TAKEN = {
    "ToolsCreate": "dynamodb:PutItem",
    "AgentRunCallModel": "dynamodb:Query",
    "RunsStart": "states:StartSyncExecution",
    "AuthTestToken": "secretsmanager:GetSecretValue",
}


@pytest.fixture(scope="module")
def crippled(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Runtime]:
    """The platform, deployed from a template that lacks an action in each of some functions."""
    folder = tmp_path_factory.mktemp("crippled")
    faulty = template.load(ROOT / "template.yaml")
    for name, resource in faulty["Resources"].items():
        properties = resource["Properties"]
        properties |= {key: str(ROOT / properties[key]) for key in ("CodeUri", "DefinitionUri") if key in properties}
        if name in TAKEN:
            properties["Policies"] = [{"Statement": list(_without(TAKEN[name], properties["Policies"]))}]
    (folder / "template.yaml").write_text(json.dumps(faulty))
    with Runtime(
        folder / "data", free_port(), {"ALLOW_TEST_TOKENS": "true"}, template=folder / "template.yaml"
    ) as runtime:
        yield runtime


def _without(action: str, policies: list[Any]) -> Iterator[dict[str, Any]]:
    for statement in (one for policy in policies for one in policy["Statement"]):
        if left := [one for one in statement["Action"] if one != action]:
            yield statement | {"Action": left}


@pytest.fixture
def api(crippled: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=crippled.url, headers={"X-API-Key": crippled.admin_key}, timeout=35) as client:
        yield client


def test_a_refused_write_is_an_opaque_500_of_the_edge(crippled: Runtime, api: httpx.Client) -> None:
    answer = api.post("/tools", json={"name": "refused", "endpoint": "https://tools.example.com"})
    assert answer.status_code == 500
    assert answer.json() | {"trace_id": ""} == {
        "detail": "The platform failed to answer; try again.",
        "code": "internal_error",
        "trace_id": "",
    }
    assert answer.headers["X-Trace-Id"] == answer.json()["trace_id"]
    assert api.get("/tools").json() == [], "other functions keep their permissions"
    assert _refused(crippled, "ToolsCreate")


def test_a_refused_secret_is_an_opaque_500(crippled: Runtime, api: httpx.Client) -> None:
    assert api.get("/auth/test-token").json()["code"] == "internal_error"
    assert _refused(crippled, "AuthTestToken"), "though other functions have read the secret before"


def test_a_refused_start_of_a_run_is_a_503(crippled: Runtime, api: httpx.Client) -> None:
    assert api.post("/agents", json={"name": "never_started"}).status_code == 201
    answer = api.post("/runs", json={"agent_id": "never_started", "input_message": "go"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert _refused(crippled, "RunsStart")


def test_a_refused_worker_fails_its_run(crippled: Runtime, api: httpx.Client) -> None:
    assert api.post("/agents", json={"name": "refused"}).status_code == 201
    run = api.post("/agents/refused/run", json={"input_message": "go"})
    assert run.json()["status"] == "failed", run.text
    assert _refused(crippled, "AgentRunCallModel")


def _refused(runtime: Runtime, function: str) -> bool:
    said = f"/{function} is not authorized to perform: {TAKEN[function]} on resource: "
    return any(said in message for message in runtime.refused)
