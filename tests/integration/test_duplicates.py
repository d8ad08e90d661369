"""Every operation that changes something, a hundred times at once: its effect is that of one request.

A POST comes with one `Idempotency-Key`, a PUT or PATCH with one `If-Match`, a DELETE as it is. The effect is what the
table took (`tests.integration.effects`), compared with that of a single request on things of the same kind.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.effects import Effect, committed
from tests.integration.neighbours import Neighbours, says

_DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
DUPLICATES, WORKERS = 100, 16
_GATE = "until all duplicates are counted"
ENDPOINT = "https://tools.example.com/"
_ANNOUNCED = {"filename": "agent.tar.gz", "size": 1000, "sha256": "0" * 64}


@dataclass(frozen=True)
class Request:
    """One request on things made for it; `headers` if it is not the administrator's."""

    path: str
    body: Any = None
    headers: dict[str, str] | None = None


class Stage:
    """Makes what a request needs: new things each time."""

    def __init__(self, client: httpx.Client, neighbours: Neighbours) -> None:
        self.client, self.neighbours = client, neighbours
        # A boot key: the use of any other is noted, once a minute.
        self.operator = {"X-API-Key": "operator"}
        self._number = itertools.count()

    def name(self) -> str:
        return f"duplicates_{next(self._number)}"

    def send(self, method: str, request: Request, **headers: str) -> httpx.Response:
        who = {"X-API-Key": "mine"} if request.headers is None else request.headers
        return self.client.request(method, request.path, json=request.body, headers=who | headers)

    def made(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        answer = self.send("POST", Request(path, body, headers))
        assert answer.is_success, answer.text
        return answer.json()

    def agent(self, *steps: str, **fields: Any) -> str:
        """The path of a published agent that has gone through these steps, such as `/publish`."""
        path = f"/agents/{self.made('/agents', {'name': self.name(), 'status': 'published'} | fields)['id']}"
        for step in steps:
            self.made(f"{path}{step}")
        return path

    def code_agent(self) -> str:
        """The id of an agent whose code was not uploaded yet."""
        return str(self.made("/agents", {"name": self.name(), "kind": "code"})["id"])

    def tool(self, **fields: Any) -> str:
        return f"/tools/{self.made('/tools', {'name': self.name(), 'endpoint': ENDPOINT} | fields)['id']}"

    def internal_tool(self) -> str:
        """The platform's own tool `echo`, of which a tenant has one."""
        answer = self.send("POST", Request("/tools", {"name": "echo"}))
        assert answer.status_code in {201, 409}, answer.text
        return "/tools/echo"

    def running(self) -> str:
        """The id of a run that waits for its model, and writes nothing meanwhile."""
        name = self.name()
        self.neighbours.script[name] = [says("late", gate=_GATE)]
        task = Request(f"{self.agent(model=f'custom:{name}')}/run", {"task": "go"})
        run = self.send("POST", task, Prefer="respond-async").json()
        while not self.neighbours.asked(name):
            time.sleep(0.01)
        return str(run["id"])

    def session(self) -> str:
        """The id of a session with one run."""
        name = self.name()
        self.made(f"{self.agent()}/interact", {"message": "Good morning", "session_id": name})
        return name

    def key(self) -> dict[str, str]:
        made: dict[str, str] = self.made("/api-keys", {"name": self.name()})
        return made

    def tenant(self) -> str:
        return f"/tenants/{self.made('/tenants', {'name': self.name()}, self.operator)['id']}"

    def user(self) -> dict[str, str]:
        name = self.name()
        return {"email": f"{name}@example.com", "username": name, "password": "duplicates"}

    def join(self, user: dict[str, str]) -> str:
        """Register a user in the administrator's tenant; returns its path."""
        invite = self.made("/users/invite", {})
        return f"/users/{self.made('/auth/register', user | {'invite_token': invite['invite_token']}, {})['id']}"

    @cached_property
    def credentials(self) -> dict[str, str]:
        """Somebody's who may log in."""
        user = self.user()
        self.join(user)
        return {name: user[name] for name in ("username", "password")}

    def login(self) -> dict[str, str]:
        tokens: dict[str, str] = self.made("/auth/login", self.credentials, {})
        return tokens


def _bearer(stage: Stage) -> dict[str, str]:
    return {"Authorization": f"Bearer {stage.login()['access_token']}"}


def _bound(stage: Stage) -> str:
    tool = stage.tool()
    return f"{stage.agent(tool)}{tool}"


def _document(stage: Stage) -> dict[str, Any]:
    """An OpenAPI document of two operations."""
    operations = {method: {"operationId": stage.name(), "responses": {}} for method in ("get", "post")}
    return {"openapi": "3.1.0", "servers": [{"url": ENDPOINT}], "paths": {"/pets": operations}}


# How each operation that changes something is asked for, on new things, so that it has its effect.
_WAYS: dict[str, Callable[[Stage], Request]] = {
    "activate_agent_version": lambda stage: Request(f"{stage.agent('/publish')}/versions/1/activate"),
    "add_agent_log": lambda stage: Request(f"{stage.agent()}/logs", {"message": "The order was found."}),
    "bind_tool": lambda stage: Request(f"{stage.agent()}{stage.tool()}", {}),
    "cancel_execution": lambda stage: Request(f"/executions/{stage.running()}/cancel"),
    "cancel_run": lambda stage: Request(f"/runs/{stage.running()}/cancel"),
    "cancel_runtime_execution": lambda stage: Request(f"/runtime/executions/{stage.running()}/cancel"),
    "clone_agent": lambda stage: Request(f"{stage.agent()}/clone", {}),
    "create_agent": lambda stage: Request("/agents", {"name": stage.name(), "status": "published"}),
    "create_api_key": lambda stage: Request("/api-keys", {"name": stage.name()}),
    "create_tenant": lambda stage: Request("/tenants", {"name": stage.name()}, stage.operator),
    "create_tool": lambda stage: Request("/tools", {"name": stage.name(), "endpoint": ENDPOINT}),
    "create_upload": lambda stage: Request(f"/uploads/agent/{stage.code_agent()}", _ANNOUNCED),
    "delete_agent": lambda stage: Request(stage.agent()),
    "delete_session": lambda stage: Request(f"/sessions/{stage.session()}"),
    "delete_tool": lambda stage: Request(stage.tool()),
    "deploy_agent": lambda stage: Request(f"{stage.agent()}/deploy", {}),
    "deploy_tool": lambda stage: Request(f"{stage.tool(status='deprecated')}/deploy"),
    "exchange_key": lambda stage: Request("/auth/token", {"api_key": stage.key()["key"]}, {}),
    "execute_agent": lambda stage: Request(f"/runtime/{stage.agent()[8:]}/execute", {"payload": {"input": "Hello"}}),
    "execute_tool": lambda stage: Request(f"{stage.internal_tool()}/execute", {"args": {"text": "hello"}}),
    "import_tools": lambda stage: Request("/tools/import", {"document": _document(stage)}),
    "interact_with_agent": lambda stage: Request(f"{stage.agent()}/interact", {"message": "Hello"}),
    "invite_user": lambda stage: Request("/users/invite", {}),
    "log_in": lambda stage: Request("/auth/login", stage.credentials, {}),
    "log_out": lambda stage: Request("/auth/logout", None, _bearer(stage)),
    "publish_agent": lambda stage: Request(f"{stage.agent()}/publish"),
    "refresh_tokens": lambda stage: Request("/auth/refresh", {"refresh_token": stage.login()["refresh_token"]}, {}),
    "register_user": lambda stage: Request("/auth/register", stage.user(), {}),
    "replace_agent": lambda stage: Request(stage.agent(), {"name": stage.name()}),
    "replace_tool": lambda stage: Request(stage.tool(), {"name": stage.name(), "endpoint": ENDPOINT}),
    "revoke_api_key": lambda stage: Request(f"/api-keys/{stage.key()['id']}"),
    "run_agent": lambda stage: Request(f"{stage.agent()}/run", {"task": "Hello"}),
    "start_run": lambda stage: Request("/runs", {"agent_id": stage.agent()[8:], "input_message": "Good morning"}),
    "stream_run": lambda stage: Request("/runs/stream", {"agent_id": stage.agent()[8:], "input_message": "Good day"}),
    "test_tool": lambda stage: Request(f"{stage.internal_tool()}/test", {"args": {"text": "hello"}}),
    "unbind_tool": lambda stage: Request(_bound(stage)),
    "undeploy_agent": lambda stage: Request(f"{stage.agent('/deploy')}/undeploy"),
    "update_agent": lambda stage: Request(stage.agent(), {"description": "changed"}),
    "update_tenant": lambda stage: Request(stage.tenant(), {"name": stage.name()}, stage.operator),
    "update_tool": lambda stage: Request(stage.tool(), {"description": "changed"}),
    "update_user": lambda stage: Request(stage.join(stage.user()), {"full_name": "Changed"}),
    "validate_tool": lambda stage: Request(f"{stage.tool()}/validate", {}),
}
# They look at things and leave nothing.
_WITHOUT_EFFECT = {"validate_tool"}
# A token is shown once and kept nowhere: who asks again under the same key gets another one, in the same item.
_SHOWN_ONCE = {"log_in", "refresh_tokens"}
OPERATIONS = {
    operation["operationId"]: method.upper()
    for item in _DOCUMENT["paths"].values()
    for method, operation in item.items()
    if method in {"post", "put", "patch", "delete"}
}


@pytest.fixture(scope="module")
def stage(platform: Runtime, neighbours: Neighbours) -> Iterator[Stage]:
    limits = httpx.Limits(max_connections=WORKERS, max_keepalive_connections=WORKERS)
    with httpx.Client(base_url=platform.url, timeout=60, limits=limits) as client:
        yield Stage(client, neighbours)
        neighbours.gate(_GATE).set()


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WORKERS) as threads:
        yield threads


def test_every_operation_that_changes_something_is_here() -> None:
    assert _WAYS.keys() == OPERATIONS.keys(), "teach _WAYS how to ask for these, so that they have an effect"


@pytest.mark.parametrize("operation", sorted(_WAYS))
def test_100_duplicates_have_one_effect(stage: Stage, pool: ThreadPoolExecutor, operation: str) -> None:
    method = OPERATIONS[operation]
    alone, many = _WAYS[operation](stage), _WAYS[operation](stage)
    with committed() as wanted:
        first = stage.send(method, alone, **_once(method, operation, "alone"))
    assert first.is_success, first.text
    assert bool(wanted) == (operation not in _WITHOUT_EFFECT), wanted
    headers = _once(method, operation, "many")
    with committed() as found:
        answers = list(pool.map(lambda _: stage.send(method, many, **headers), range(DUPLICATES)))
    assert _summed(operation, found) == _summed(operation, wanted)
    counts = Counter(answer.status_code for answer in answers)
    refused = {404, 409} if method == "DELETE" else {409}
    assert counts.keys() <= {first.status_code, *refused}, counts
    assert counts[first.status_code]


def _summed(operation: str, effects: list[Effect]) -> Counter[str]:
    once = set(effects) if operation in _SHOWN_ONCE else effects
    return Counter(effect.kind for effect in once)


def _once(method: str, operation: str, which: str) -> dict[str, str]:
    """The header that makes duplicates of a request one request."""
    if method == "POST":
        return {"Idempotency-Key": f"{operation} {which}"}
    return {} if method == "DELETE" else {"If-Match": "1"}
