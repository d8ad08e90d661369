"""Every operation of openapi.json, over HTTP: closed without a key, without its scope, and to other tenants.

The cases are made from the document. A new operation is tested at once, or fails here until its parameters and its
body are known to `Things` and `_BODIES`.
"""

import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from shared.domain.scopes import ADMIN, PLATFORM, ROLES, SCOPES
from shared.store.ids import new_id

_DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())

# Bodies that are good enough to get past the checks of form, by operation.
_PATHS = {"/x": {"get": {"operationId": "every route"}}}
_BODIES: dict[str, Any] = {
    "import_tools": {"document": {"openapi": "3.1.0", "servers": [{"url": "https://x.example"}], "paths": _PATHS}},
    "add_agent_log": {"message": "every route"},
    "bind_tool": {},
    "clone_agent": {},
    "create_agent": {"name": "every route"},
    "create_api_key": {"name": "every route"},
    "create_tenant": {"name": "every route"},
    "create_upload": {"filename": "every.tar.gz", "size": 1, "sha256": "0" * 64},
    "execute_tool": {},
    "test_tool": {},
    "validate_tool": {},
    "exchange_key": {"api_key": "nobody"},
    "invite_user": {"role": "user"},
    "log_in": {"username": "nobody", "password": "wrong"},
    "log_out": None,
    "refresh_tokens": {"refresh_token": "nobody"},
    "register_user": {"email": "every@example.com", "username": "every", "password": "every route"},
    "update_user": {"full_name": "Changed"},
    "create_tool": {"name": "every route", "endpoint": "https://tools.example.com/"},
    "deploy_agent": {},
    "execute_agent": {"payload": {"input": "Hello"}},
    "replace_agent": {"name": "every route"},
    "replace_tool": {"name": "every route", "endpoint": "https://tools.example.com/"},
    "interact_with_agent": {"message": "Hello"},
    "run_agent": {"task": "Hello"},
    "start_run": {"agent_id": "a name of nobody", "input_message": "Hello"},
    "stream_run": {"agent_id": "a name of nobody", "input_message": "Hello"},
    "update_agent": {"description": "changed"},
    "update_tenant": {"name": "changed"},
    "update_tool": {"description": "changed"},
}
# What a handler asks for beside the documented scope, since no binding restricts the call.
_ALSO = {"execute_tool": ("tools:write",), "test_tool": ("tools:write",), "invite_user": tuple(sorted(ROLES["user"]))}
# A session is made by the first run that names it: there is nothing to find. A client's id belongs to its secret.
_NO_REFERENCES = {"session_id", "client_id"}


@dataclass(frozen=True)
class Operation:
    """One operation, as the document describes it."""

    name: str
    method: str
    path: str
    scope: str
    public: bool
    references: tuple[str, ...]
    has_body: bool

    @property
    def variables(self) -> list[str]:
        return re.findall(r"\{(\w+)\}", self.path)

    @property
    def body(self) -> Any:
        return _BODIES.get(self.name)

    def send(
        self, client: httpx.Client, things: dict[str, str], body: Any, key: str | None = None, query: str = ""
    ) -> httpx.Response:
        headers = {} if key is None else {"X-API-Key": key}
        return client.request(self.method, self.path.format(**things) + query, json=body, headers=headers)


def _operations() -> Iterator[Operation]:
    for path, item in _DOCUMENT["paths"].items():
        for method, operation in item.items():
            used = re.findall(r"#/components/schemas/(\w+)", json.dumps(operation.get("requestBody", {})))
            fields = [field for name in used for field in _DOCUMENT["components"]["schemas"][name]["properties"]]
            yield Operation(
                name=operation["operationId"],
                method=method.upper(),
                path=path,
                scope="".join(operation["security"][0]["ApiKey"]) if operation["security"] else "",
                public=not operation["security"],
                references=tuple(f for f in fields if re.search(r"_ids?$", f) and f not in _NO_REFERENCES),
                has_body="requestBody" in operation,
            )


OPERATIONS = tuple(_operations())
each_closed_operation = pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if not operation.public], ids=lambda operation: operation.name
)
each_operation = pytest.mark.parametrize(
    # What operations without a scope answer is tested with what they are for.
    "operation",
    [operation for operation in OPERATIONS if operation.scope],
    ids=lambda operation: operation.name,
)


@dataclass(frozen=True)
class Things:
    """What a tenant has, by the names of path variables and body fields; the names of things too."""

    ids: dict[str, str]
    names: dict[str, str]

    def ways_to_name(self, variable: str) -> list[str]:
        return [self.ids[variable], *([self.names[variable]] if variable in self.names else [])]


def _ghosts() -> Things:
    """Ids and names that nobody ever had."""
    kinds = ("agent_ref", "tool_ref", "api_key_id", "run_id", "agent_id", "tenant_id", "user_id", "tool_ids")
    ids = dict.fromkeys((*kinds, "session_id", "execution_id"), new_id()) | {"version": "999999999"}
    ids |= {"filename": "v1.tar.gz"}
    return Things(ids, dict.fromkeys(("agent_ref", "tool_ref", "agent_id"), "a name of nobody"))


GHOSTS = _ghosts()


def _make(client: httpx.Client) -> Things:
    def made(path: str, **body: Any) -> str:
        answer = client.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    name = f"every route {uuid.uuid4()}"
    tool = made("/tools", name=name, endpoint="https://tools.example.com/")
    # Every tenant counts versions for itself: a foreign one is unknown only if it is not one's own by chance.
    version = random.randrange(1, 1_000_000)
    agent = made("/agents", name=name, status="published", tool_ids=[tool], version=version)
    key = made("/api-keys", name=name)
    run = made("/runs", agent_id=agent, input_message="Hello")
    ids = {"agent_ref": agent, "tool_ref": tool, "api_key_id": key, "run_id": run, "agent_id": agent, "tool_ids": tool}
    user = {"email": f"{uuid.uuid4()}@example.com", "username": str(uuid.uuid4()), "password": "every route"}
    invite_token = client.post("/users/invite", json={}).json()["invite_token"]
    ids |= {"user_id": made("/auth/register", **user, invite_token=invite_token)}
    made("/runs", agent_id=agent, input_message="Hello", session_id=(session := f"session-{uuid.uuid4()}"))
    ids |= {"session_id": session, "execution_id": run}
    ids |= {"filename": "v1.tar.gz"}
    ids |= {"tenant_id": client.get(f"/tools/{tool}").json()["tenant_id"], "version": str(version)}
    return Things(ids, dict.fromkeys(("agent_ref", "tool_ref", "agent_id"), name))


@pytest.fixture(scope="module")
def mine(api: httpx.Client) -> Things:
    return _make(api)


@pytest.fixture(scope="module")
def theirs(other_api: httpx.Client) -> Things:
    return _make(other_api)


@pytest.fixture(scope="module")
def key_with(api: httpx.Client) -> Callable[..., str]:
    """A key with these scopes and no others."""

    @cache
    def make(*scopes: str) -> str:
        # The operator: an administrator cannot grant what is not a tenant's.
        body = {"name": "every route", "scopes": scopes}
        answer = api.post("/api-keys", json=body, headers={"X-API-Key": "operator"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["key"])

    return make


@pytest.fixture(scope="module")
def stranger(platform: Runtime) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=platform.url, timeout=35) as client:
        yield client


def _refusal(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a refusal, whose trace id is its own."""
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body.keys() == {"detail", "code", "trace_id"}
    assert body.pop("trace_id") == answer.headers["X-Trace-Id"]
    return body


def test_every_operation_can_be_called_here() -> None:
    unknown = {variable for operation in OPERATIONS for variable in operation.variables} - GHOSTS.ids.keys()
    assert not unknown, f"teach _make and _ghosts these path variables: {unknown}"
    bodiless = {operation.name for operation in OPERATIONS if operation.has_body} ^ _BODIES.keys()
    assert not bodiless, f"_BODIES must name exactly the operations that take a body: {bodiless}"
    unknown = {field for operation in OPERATIONS for field in operation.references} - GHOSTS.ids.keys()
    assert not unknown, f"teach _make and _ghosts these fields, or say in _NO_REFERENCES why not: {unknown}"


@each_closed_operation
def test_without_a_key_nothing_can_be_called(stranger: httpx.Client, operation: Operation) -> None:
    for key in (None, "", "nobody"):
        answer = operation.send(stranger, GHOSTS.ids, operation.body, key)
        assert _refusal(answer, 401)["code"] == "unauthorized"


@each_operation
def test_without_its_scope_nothing_can_be_called(
    stranger: httpx.Client, key_with: Callable[..., str], operation: Operation
) -> None:
    for scopes in ((), sorted(SCOPES - {ADMIN, operation.scope})):
        for body in (operation.body, None, {}, {"nonsense": True}, [1]):
            for query in ("", "?limit=nonsense&include=nonsense&force=nonsense"):
                answer = operation.send(stranger, GHOSTS.ids, body, key_with(*scopes), query)
                refused = _refusal(answer, 403)
                assert refused == {"detail": f"This needs the scope {operation.scope}.", "code": "scope_missing"}


@each_operation
def test_the_documented_scope_is_enough(
    stranger: httpx.Client, key_with: Callable[..., str], operation: Operation
) -> None:
    key = key_with(operation.scope, *_ALSO.get(operation.name, ()))
    answer = operation.send(stranger, GHOSTS.ids, operation.body, key)
    assert answer.status_code in {200, 201, 404, 409}, answer.text


_LISTS = ("/agents", "/tools", "/runs", "/api-keys", "/users")


def _state(client: httpx.Client, things: Things) -> list[Any]:
    """Everything that a tenant can read of its things."""
    agent, tool, run = (things.ids[name] for name in ("agent_ref", "tool_ref", "run_id"))
    session = f"/sessions/{things.ids['session_id']}"
    paths = [f"/agents/{agent}", f"/agents/{agent}/tools", f"/tools/{tool}", f"/runs/{run}?include=messages"]
    paths += [f"/runs/{run}/events", session, f"{session}/messages"]
    answers = [client.get(path) for path in (*paths, "/sessions", *_LISTS)]
    assert {answer.status_code for answer in answers} == {200}
    return [answer.json() for answer in answers]


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.scope in PLATFORM],
    ids=lambda operation: operation.name,
)
def test_no_administrator_reaches_the_operators_operations(
    api: httpx.Client, mine: Things, theirs: Things, operation: Operation
) -> None:
    """Not even for their own tenant: these are the only operations that reach any tenant by its id."""
    for things in (mine, theirs, GHOSTS):
        answer = operation.send(api, things.ids, operation.body)
        assert _refusal(answer, 403)["code"] == "scope_missing"


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.scope and operation.scope not in PLATFORM],
    ids=lambda operation: operation.name,
)
def test_what_another_tenant_has_does_not_exist(
    api: httpx.Client, other_api: httpx.Client, mine: Things, theirs: Things, operation: Operation
) -> None:
    before = _state(other_api, theirs)
    for variable in operation.variables:
        for ghost, foreign in zip(GHOSTS.ways_to_name(variable), theirs.ways_to_name(variable), strict=True):
            never = operation.send(api, mine.ids | {variable: ghost}, operation.body)
            answer = operation.send(api, mine.ids | {variable: foreign}, operation.body)
            assert _refusal(answer, 404) == _refusal(never, 404)
    for field in operation.references:
        texts = []
        for things in (GHOSTS, theirs):
            value: Any = [things.ids[field]] if field.endswith("s") else things.ids[field]
            answer = operation.send(api, mine.ids, {**operation.body, field: value})
            texts.append(json.dumps(_refusal(answer, 404)).replace(things.ids[field], "<id>"))
        assert texts[0] == texts[1]
    assert _state(other_api, theirs) == before
