"""Paths that only a crash, a lost message or a slow clock leads to. Each needs permissions that nothing else needs."""

import itertools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import client as aws_client
from local.runtime import Runtime
from shared.store import keys
from shared.store.keys import Key
from tests.house.repository import ROOT, load_json
from tests.integration.neighbours import Neighbours, asks, says
from tests.integration.running import eventually, new_tenant
from tests.integration.test_background import ASYNC, Stage
from tests.integration.test_limits import wait_for_gateway_key
from tests.permission_proof import RECORDS
from tests.unit.support import petstore

TENANT = "tenant_mine"
LONG_AGO = "2020-01-01T00:00:00.000Z"
NOBODY = "019aa649-1a01-7000-8000-00000000dead"
POSTS = sorted(path for path, item in load_json(ROOT / "openapi.json")["paths"].items() if "post" in item)
POSTS_OF_RUNS = {"/runs", "/agents/{agent}/run", "/agents/{agent}/interact"}

_number = itertools.count()


class Table:
    """The table behind the platform's back: what a crash or a slow clock would have left there."""

    def __init__(self, platform: Runtime) -> None:
        self._dynamodb = aws_client("dynamodb", platform.emulator_url)
        self._name = platform.stack.resources["Table"]

    def doc(self, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._item(_place(key))["doc"]["S"])
        return found

    def change(self, key: Key, **fields: Any) -> None:
        self._put(self._item(_place(key)), fields)

    def forget_answer(self, path: str, made: str) -> None:
        """As if the only request to a path so far had crashed behind its effect, for which it had an id reserved."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=self._name)
        (item,) = [
            item
            for page in pages
            for item in page["Items"]
            if "#IDEMPOTENCY#" in item["pk"]["S"] and item["sk"]["S"] == f"POST {path}" and made in item["doc"]["S"]
        ]
        doc = json.loads(item["doc"]["S"])
        item["doc"]["S"] = json.dumps({name: doc[name] for name in ("body", "expires_at")} | {"id": made, "lease": 0})
        self._dynamodb.put_item(TableName=self._name, Item=item)

    def _item(self, place: dict[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = self._dynamodb.get_item(TableName=self._name, Key=place, ConsistentRead=True)["Item"]
        return item

    def _put(self, item: dict[str, Any], fields: dict[str, Any]) -> None:
        item["doc"]["S"] = json.dumps(json.loads(item["doc"]["S"]) | fields)
        self._dynamodb.put_item(TableName=self._name, Item=item)


def _place(key: Key) -> dict[str, Any]:
    return {"pk": {"S": keys.of_tenant(TENANT) + key.partition}, "sk": {"S": key.sort}}


@pytest.fixture
def table(platform: Runtime) -> Table:
    return Table(platform)


@pytest.fixture
def stage(api: httpx.Client, neighbours: Neighbours) -> Stage:
    return Stage(api, neighbours)


@pytest.fixture
def gate() -> str:
    """The path of a tool that answers when its gate is opened."""
    return f"/tool/gate/rare_{next(_number)}"


@pytest.fixture
def busy(stage: Stage, gate: str) -> dict[str, str]:
    """A session with a run at work, which hangs, and a run that waits."""
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("one answer"), says("another answer"))
    session = f"rare-{uuid.uuid4()}"
    first, second = (stage.begin(agent, session_id=session, on_conflict="enqueue") for _ in range(2))
    eventually(lambda: stage.neighbours.calls(gate) == 1)
    return {"agent": agent, "session": session, "first": first, "second": second, "gate": gate}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/runs/{second}", 200),
        ("GET", "/runs/{second}/stream", 200),
        ("POST", "/runs/{second}/cancel", 200),
        ("GET", "/executions/{second}", 200),
        ("POST", "/executions/{second}/cancel", 200),
        ("GET", "/runtime/executions/{second}", 200),
        ("POST", "/runtime/executions/{second}/cancel", 200),
        ("GET", "/sessions/{session}", 200),
        ("DELETE", "/sessions/{session}", 409),
        ("POST", "/runs/stream", 409),
    ],
)
def test_a_run_whose_call_was_lost_is_begun_by_who_looks(
    stage: Stage, table: Table, busy: dict[str, str], method: str, path: str, status: int
) -> None:
    """The session has called the second run, and the record that tells so never came to the stream's reader."""
    session = keys.session(busy["session"])
    table.change(session, active={"run_id": busy["second"], "settle_at": LONG_AGO}, waiting=[])
    body = {"agent_id": busy["agent"], "input_message": "go", "session_id": busy["session"]}
    sent: dict[str, Any] = {"json": body} if path == "/runs/stream" else {}
    if "cancel" in path:
        # Else it may have ended before it is cancelled.
        stage.script(busy["agent"], says("one answer", gate=busy["gate"]), says("another answer"))
    answer = stage.api.request(method, path.format(**busy), **sent)
    assert answer.status_code == status, answer.text
    assert table.doc(keys.run(busy["second"]))["started_at"] is not None
    stage.neighbours.gate(busy["gate"]).set()
    assert stage.ended(busy["second"])["status"] == ("cancelled" if "cancel" in path else "succeeded")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/runs/{first}", 200),
        ("GET", "/executions/{first}", 200),
        ("GET", "/runtime/executions/{first}", 200),
        ("POST", "/runs/{first}/cancel", 409),
        ("POST", "/executions/{first}/cancel", 409),
        ("POST", "/runtime/executions/{first}/cancel", 409),
        ("GET", "/sessions/{session}", 200),
        ("DELETE", "/sessions/{session}", 409),
        ("POST", "/runs", 409),
        ("POST", "/agents/{agent}/run", 409),
        ("POST", "/agents/{agent}/interact", 409),
    ],
)
def test_a_run_that_nobody_ended_in_time_is_ended_by_who_looks(
    stage: Stage, table: Table, busy: dict[str, str], method: str, path: str, status: int
) -> None:
    table.change(keys.run(busy["first"]), deadline_at=LONG_AGO)
    active = {"run_id": busy["first"], "settle_at": LONG_AGO}
    table.change(keys.session(busy["session"]), active=active)
    message = {"message": "go"} if path.endswith("interact") else {"input_message": "go"}
    body = message | {"session_id": busy["session"]} | ({"agent_id": busy["agent"]} if path == "/runs" else {})
    sent: dict[str, Any] = {"json": body} if path in POSTS_OF_RUNS else {}
    answer = stage.api.request(method, path.format(**busy), **sent)
    assert answer.status_code == status, answer.text
    assert table.doc(keys.run(busy["first"]))["status"] == "timed_out"
    stage.neighbours.gate(busy["gate"]).set()
    assert stage.ended(busy["second"])["status"] == "succeeded"


@pytest.mark.parametrize(
    "path",
    [
        "/runs",
        "/agents/{name}/run",
        "/agents/{name}/interact",
        "/runtime/{agent}/execute",
        "/tools/{name}/execute",
        "/tools/{name}/test",
    ],
)
def test_a_run_whose_machine_cannot_be_started_is_ended(
    stage: Stage, platform: Runtime, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # The runtime imports the layer afresh, so its modules are looked up when it is there.
    from shared.clients import machines
    from shared.errors import Unavailable

    def unavailable(pointer: dict[str, str]) -> bool:
        raise Unavailable("The run could not be started; try again.")

    name = stage.agent(path="/tool/echo")
    agent = stage.api.get(f"/agents/{name}").json()["id"]
    stage.api.patch(f"/agents/{name}", json={"status": "published"})
    monkeypatch.setattr(machines, "run_and_wait", unavailable)
    body: dict[str, Any] = {"agent_id": name, "input_message": "go"}
    if "{" in path:
        body = {"run": {"task": "go"}, "interact": {"message": "go"}}.get(path.rpartition("/")[2], {"args": {}})
    if path.endswith("/execute") and "runtime" in path:
        body = {"payload": {"input": "go"}}
    if path.startswith("/runtime"):
        stage.api.post(f"/agents/{name}/publish")
        stage.api.post(f"/agents/{name}/deploy", json={})
    answer = stage.api.post(path.format(name=name, agent=agent), json=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    newest = stage.api.get("/runs", params={"limit": 1}).json()
    assert [run["status"] for run in newest] == ["failed"]


def test_an_agent_is_sent_a_message_in_the_background(stage: Stage) -> None:
    name = stage.agent(says("later"))
    answer = stage.api.post(f"/agents/{name}/interact", json={"message": "go"}, headers=ASYNC)
    assert answer.status_code == 202
    assert stage.ended(answer.json()["id"])["output_message"] == "later"


@pytest.mark.parametrize("path", POSTS)
def test_a_refusal_is_forgotten_under_its_idempotency_key(api: httpx.Client, platform: Runtime, path: str) -> None:
    """A refused request had no effect, so its key serves for another body."""
    filled = path.replace("{version}", "1")
    for name in ("agent_ref", "tool_ref", "run_id", "execution_id", "agent_id"):
        filled = filled.replace(f"{{{name}}}", NOBODY)
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    if path.startswith("/tenants"):
        headers["X-API-Key"] = "operator"
    answers = [api.post(filled, json={wrong: True}, headers=headers) for wrong in ("one", "another")]
    if path == "/auth/logout":
        # It has nothing to refuse: an API key is no login, and stays what it is.
        assert {answer.status_code for answer in answers} <= {204, 400, 401, 403, 422}
        return
    assert [400 <= answer.status_code < 500 for answer in answers] == [True, True], answers[0].text
    assert {answer.json()["code"] for answer in answers} & {"idempotency_key_reused", "in_flight"} == set()


def test_an_import_that_crashed_behind_its_effect_is_told_what_it_made(api: httpx.Client, table: Table) -> None:
    body = {
        "document": petstore.document(),
        "prefix": f"crash{next(_number)}_",
        "base_url": "https://pets.example.com/v1",
    }
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = api.post("/tools/import", json=body, headers=headers)
    assert first.status_code == 201, first.text
    table.forget_answer("/tools/import", first.json()["tools"][0]["id"])
    again = api.post("/tools/import", json=body, headers=headers)
    assert again.status_code == 201, again.text
    assert {tool["id"] for tool in again.json()["tools"]} == {tool["id"] for tool in first.json()["tools"]}


def test_a_tool_is_renamed_by_a_patch(api: httpx.Client) -> None:
    old, new = (f"renamed_{uuid.uuid4().hex[:8]}" for _ in range(2))
    assert api.post("/tools", json={"name": old, "endpoint": "https://tools.example.com"}).status_code == 201
    assert api.patch(f"/tools/{old}", json={"name": new}).status_code == 200
    assert [api.get(f"/tools/{name}").status_code for name in (old, new)] == [404, 200]


def test_executions_are_listed_by_the_name_of_an_agent(stage: Stage) -> None:
    name = stage.agent(says("done"))
    run = stage.api.post("/runs", json={"agent_id": name, "input_message": "go"}).json()
    listed = stage.api.get("/executions", params={"agent_id": name}).json()
    assert [execution["id"] for execution in listed] == [run["id"]]


def test_a_run_of_a_session_that_the_model_refuses_leaves_it(stage: Stage) -> None:
    name, session = stage.agent(400), f"rare-{uuid.uuid4()}"
    task = {"agent_id": name, "input_message": "go", "session_id": session}
    assert stage.api.post("/runs", json=task).json()["status"] == "failed"
    assert stage.api.get(f"/sessions/{session}").json()["status"] == "idle"


def test_a_binding_limits_the_calls_of_its_tool(stage: Stage) -> None:
    name = stage.agent(path="/tool/echo")
    tool = stage.api.get(f"/tools/{name}").json()["id"]
    bound = stage.api.post(f"/agents/{name}/tools/{tool}", json={"rate_limit": "1/day"})
    assert bound.status_code in (200, 201), bound.text
    stage.script(name, asks((name, {}), (name, {})), says("done"))
    run = stage.api.post("/runs", json={"agent_id": name, "input_message": "go"}).json()
    assert sorted(call["status"] for call in run["tools_called"]) == ["failed", "succeeded"], run


def test_a_tenants_own_plan_at_the_gateway_is_changed_and_left(platform: Runtime) -> None:
    tenant = "rare-plan"
    new_tenant(platform, tenant, plan="free", burst=30)
    wait_for_gateway_key(platform, tenant)
    gateway: Any = aws_client("apigateway", platform.emulator_url)
    (key,) = [key["id"] for key in gateway.get_api_keys(limit=500)["items"] if key["name"].endswith(f":{tenant}")]

    def bursts() -> list[int]:
        return [plan["throttle"]["burstLimit"] for plan in gateway.get_usage_plans(keyId=key)["items"]]

    headers = {"X-API-Key": platform.admin_key}
    url = f"{platform.url}/tenants/{tenant}"
    assert bursts() == [30]
    assert httpx.patch(url, json={"burst": 31}, headers=headers, timeout=35).status_code == 200
    eventually(lambda: bursts() == [31])
    assert httpx.patch(url, json={"burst": None}, headers=headers, timeout=35).status_code == 200
    eventually(lambda: bursts() == [5_000])


def test_secrets_come_from_the_vault(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model provider's key, where the environment has none, and the secret of a developer's token."""
    # The shared platform, which runs in this process, has put one there.
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    port = free_port()
    settings = {"ALLOW_TEST_TOKENS": "true", "OPENAI_BASE_URL": f"http://127.0.0.1:{port + 1}/v1"}
    with Runtime(tmp_path, port, settings, record_permissions=RECORDS) as runtime:
        vault = aws_client("secretsmanager", runtime.emulator_url)
        given = json.dumps({"OPENAI_API_KEY": "from the vault", "CUSTOM_API_KEY": ""})
        vault.put_secret_value(SecretId=runtime.stack.resources["ModelKeys"], SecretString=given)
        with httpx.Client(base_url=runtime.url, headers={"X-API-Key": runtime.admin_key}, timeout=35) as client:
            assert client.post("/agents", json={"name": "vaulted"}).status_code == 201
            run = client.post("/runs", json={"agent_id": "vaulted", "input_message": "go"}).json()
            assert run["status"] == "succeeded", run
            token = client.get("/auth/test-token").json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{runtime.url}/agents", headers=headers, timeout=35).status_code == 200
        assert not runtime.refused
