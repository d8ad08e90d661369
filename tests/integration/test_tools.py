"""Tools over HTTP, on the real machine: direct calls, proofs, imports, and what 100 duplicates come to."""

import hashlib
import hmac
import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.neighbours import Neighbours, asks, milliseconds_for, says
from tests.unit.support import petstore

pytestmark = pytest.mark.covers(
    "POST /tools/{tool_ref}/execute",
    "POST /tools/{tool_ref}/test",
    "POST /tools/{tool_ref}/validate",
    "POST /tools/{tool_ref}/deploy",
    "GET /tools/categories",
    "GET /tools/types",
    "POST /tools/import",
    "GET /tools",
)
_number = itertools.count()
SECRET = {"secrets_ref": "DEMO_TOKEN"}


@pytest.fixture
def tools(api: httpx.Client, neighbours: Neighbours) -> "Tools":
    return Tools(api, neighbours)


class Tools:
    """Makes tools at the neighbours and calls them."""

    def __init__(self, api: httpx.Client, neighbours: Neighbours) -> None:
        self.api, self.neighbours = api, neighbours

    def make(self, path: str, **fields: Any) -> str:
        """A webhook; its name."""
        name = f"direct_{next(_number)}"
        made = self.api.post("/tools", json={"name": name, "endpoint": f"{self.neighbours.url}{path}"} | fields)
        assert made.status_code == 201, made.text
        return name

    def oauth2(self, behaves: str, **fields: Any) -> str:
        config = {"token_url": f"{self.neighbours.url}/token/{behaves}", "client_id": "shop"}
        return self.make(f"/tool/mirror/{behaves}", auth_type="oauth2", auth_config=config, **fields)

    def run(self, tool: str, verb: str = "execute", **body: Any) -> dict[str, Any]:
        answer = self.api.post(f"/tools/{tool}/{verb}", json=body)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found


def test_a_tool_is_executed(tools: Tools) -> None:
    run = tools.run(tools.make("/tool/echo"), args={"text": "hello"})
    assert (run["kind"], run["status"], run["agent_id"]) == ("tool", "succeeded", None)
    assert json.loads(run["output_message"]) == {"echo": {"text": "hello"}}
    assert tools.api.get(f"/runs/{run['id']}").json() == run
    headers, _ = tools.neighbours.seen["/tool/echo"][-1]
    assert headers["idempotency-key"] == f"{run['id']}:call_1"
    names = [event["event"] for event in tools.api.get(f"/runs/{run['id']}/events").json()]
    assert names == ["start", "message.completed", "tool.started", "tool.completed", "result"]


@pytest.mark.parametrize(
    ("path", "code"), [("/tool/hang", "timeout"), ("/tool/huge", "answer_too_large"), ("/tool/broken", "http_500")]
)
def test_a_tool_that_misbehaves_fails_its_run(tools: Tools, path: str, code: str) -> None:
    run = tools.run(tools.make(path), "test", timeout_ms=milliseconds_for(code))
    assert (run["status"], run["stop_reason"], run["test"]) == ("failed", "tool_error", True)
    assert run["error_message"].startswith(f"{code}: ")


@pytest.mark.parametrize("endpoint", ["http://169.254.169.254/", "http://127.0.0.1:9001/", "http://[::1]:8080/"])
def test_a_direct_call_cannot_reach_into_the_house(tools: Tools, endpoint: str) -> None:
    tool = tools.make("", endpoint=endpoint)
    for verb in ("execute", "test"):
        assert tools.run(tool, verb)["error_message"].startswith("address_blocked: ")
    found = tools.api.post(f"/tools/{tool}/validate").json()
    assert [problem["type"] for problem in found["problems"]] == ["address_blocked"]


def test_a_hundred_duplicates_are_one_call(tools: Tools) -> None:
    path = f"/tool/mirror/once{next(_number)}"
    tool, headers = tools.make(path), {"Idempotency-Key": f"execute {path}"}

    def send(_: int) -> httpx.Response:
        return tools.api.post(f"/tools/{tool}/execute", json={}, headers=headers)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(100)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert tools.neighbours.calls(path) == 1
    assert send(0).headers["Idempotency-Replayed"] == "true"


def test_a_hundred_duplicates_are_one_import(tools: Tools) -> None:
    prefix = f"dup{next(_number)}_"
    body = {"document": petstore.document(), "prefix": prefix}

    def send(_: int) -> httpx.Response:
        return tools.api.post("/tools/import", json=body, headers={"Idempotency-Key": prefix})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(100)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    every = tools.api.get("/tools", params={"limit": 100}).json()
    assert len([tool for tool in every if tool["name"].startswith(prefix)]) == 5


def test_what_is_not_a_tenants_does_not_exist(tools: Tools, other_api: httpx.Client) -> None:
    tool = tools.make("/tool/mirror/foreign")
    for verb in ("execute", "test", "validate", "deploy"):
        assert other_api.post(f"/tools/{tool}/{verb}", json={}).status_code == 404
    assert tools.neighbours.calls("/tool/mirror/foreign") == 0


def test_lists_and_deploy(tools: Tools) -> None:
    category = f"category {next(_number)}"
    tool = tools.make("/tool/echo", category=category, status="deprecated")
    query = {"category": category, "status": "deprecated", "execution_type": "http_webhook"}
    assert [found["name"] for found in tools.api.get("/tools", params=query).json()] == [tool]
    deadline = time.monotonic() + 60
    while {"name": category, "count": 1} not in tools.api.get("/tools/categories").json():
        assert time.monotonic() < deadline, "the tool is not counted"
        time.sleep(0.05)
    assert [kind["name"] for kind in tools.api.get("/tools/types").json()] == ["http_webhook", "internal"]
    assert tools.api.post(f"/tools/{tool}/execute", json={}).json()["code"] == "tool_is_deprecated"
    assert tools.api.post(f"/tools/{tool}/deploy").json()["status"] == "active"
    assert tools.run(tool)["status"] == "succeeded"
    assert tools.api.get("/tools", params=query).json() == []


def test_a_token_is_asked_for_once(tools: Tools) -> None:
    behaves = f"ok/{next(_number)}"
    tool = tools.oauth2(behaves)
    runs = [tools.run(tool, **SECRET) for _ in range(2)]
    assert [run["status"] for run in runs] == ["succeeded"] * 2
    assert tools.neighbours.calls(f"/token/{behaves}") == 1
    _, form = tools.neighbours.seen[f"/token/{behaves}"][0]
    assert parse_qs(form) == {"grant_type": ["client_credentials"]}
    sent = [headers["authorization"] for headers, _ in tools.neighbours.seen[f"/tool/mirror/{behaves}"]]
    assert sent == ["Bearer token-1"] * 2
    for run in runs:
        told = json.dumps(run) + tools.api.get(f"/runs/{run['id']}/events").text
        assert "token-1" not in told
        assert "s3cr3t" not in told


@pytest.mark.parametrize(
    ("behaves", "secret", "code"),
    [
        ("refuses", "NOBODY", "secret_missing"),
        ("refuses", "WRONG_TOKEN", "token_refused"),
        ("slow", "DEMO_TOKEN", "timeout"),
        ("huge", "DEMO_TOKEN", "answer_too_large"),
        ("redirect", "DEMO_TOKEN", "redirect_refused"),
    ],
)
def test_token_servers_that_misbehave(tools: Tools, behaves: str, secret: str, code: str) -> None:
    before = tools.neighbours.calls(f"/tool/mirror/{behaves}")
    run = tools.run(tools.oauth2(behaves), secrets_ref=secret, timeout_ms=milliseconds_for(code))
    assert run["error_message"].partition(":")[0] == code
    assert tools.neighbours.calls(f"/tool/mirror/{behaves}") == before


def test_a_service_checks_who_calls(tools: Tools, platform: Runtime) -> None:
    """With the key that docs/tools.md tells the tool's owner to ask the operator for."""
    tool = tools.make("/tool/mirror/service", auth_type="service")
    agent = f"agent_{tool}"
    tools.neighbours.script[agent] = [asks((tool, {})), says("done")]
    made = tools.api.post("/agents", json={"name": agent, "model": f"custom:{agent}"}).json()
    tools.api.post(f"/agents/{agent}/tools/{tool}", json={})
    run = tools.api.post("/runs", json={"agent_id": agent, "input_message": "go"}).json()
    assert [called["status"] for called in run["tools_called"]] == ["succeeded"]
    headers, _ = tools.neighbours.seen["/tool/mirror/service"][-1]
    label = f"service tools:{run['tenant_id']}:127.0.0.1"
    key = hmac.new(_jwt_secret(platform).encode(), label.encode(), hashlib.sha256).hexdigest()
    token = headers["authorization"].removeprefix("Bearer ")
    claims = jwt.decode(token, key, ["HS256"], audience="127.0.0.1", issuer="agent-platform")
    assert (claims["agent_id"], claims["run_id"]) == (made["id"], run["id"])
    assert tools.api.get("/runs", headers={"X-API-Key": "", "Authorization": f"Bearer {token}"}).status_code == 401
    assert token not in tools.api.get(f"/runs/{run['id']}/events").text


def _jwt_secret(platform: Runtime) -> str:
    manager = aws_client("secretsmanager", platform.emulator_url)
    (name,) = [found["Name"] for found in manager.list_secrets()["SecretList"] if "JwtSecret" in found["Name"]]
    return str(manager.get_secret_value(SecretId=name)["SecretString"])


def test_an_agent_calls_an_imported_tool(tools: Tools) -> None:
    prefix = f"pets{next(_number)}_"
    body = {"document": petstore.document(), "prefix": prefix, "base_url": f"{tools.neighbours.url}/tool/mirror/v1"}
    answer = tools.api.post("/tools/import", json=body)
    assert answer.status_code == 201, answer.text
    assert [each["operation"] for each in answer.json()["skipped"]] == ["POST /pets/{petId}/photo"]
    update = f"{prefix}updatePet"
    arguments = {"petId": 7, "dry_run": True, "name": "Rex", "body_petId": 8, "pet_type": "dog"}
    tools.neighbours.script[prefix] = [asks((update, arguments)), says("done")]
    tool_ids = [tool["id"] for tool in answer.json()["tools"]]
    agent = {"name": prefix, "model": f"custom:{prefix}", "tool_ids": tool_ids}
    assert tools.api.post("/agents", json=agent).status_code == 201
    run = tools.api.post("/runs", json={"agent_id": prefix, "input_message": "go"}).json()
    assert [called["status"] for called in run["tools_called"]] == ["succeeded"]
    assert [found["name"] for found in tools.api.get("/tools", params={"agent_name": prefix, "limit": 1}).json()]
    events = tools.api.get(f"/runs/{run['id']}/events").json()
    (output,) = [event["data"]["output"] for event in events if event["event"] == "tool.completed"]
    mirrored = json.loads(output)
    method, _, target = mirrored["line"].partition(" ")
    parts = urlsplit(target)
    assert (method, parts.path, parts.query) == ("PUT", "/tool/mirror/v1/pets/7", "dry-run=true")
    assert mirrored["body"] == {"name": "Rex", "petId": 8, "pet-type": "dog"}


def test_hostile_documents_are_refused_quickly(tools: Tools) -> None:
    circle = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
    many = {f"/x{n}": {"get": {"operationId": f"op{n}"}} for n in range(1_000)}
    for spec, status in (
        (petstore.one(petstore.body({"$ref": "https://evil.example/"})), 422),
        (petstore.one(petstore.body({"$ref": "#/components/schemas/A"}), components={"schemas": circle}), 422),
        (petstore.one({}, paths=many), 422),
        (petstore.one({"description": "x" * 10_000_000}), 413),
        ({"openapi": "3.1.0", "paths": 7}, 422),
    ):
        # Of this process, in which the platform is, whatever else the machine does.
        begun = time.process_time()
        assert tools.api.post("/tools/import", json={"document": spec}).status_code == status
        assert time.process_time() - begun < 5
