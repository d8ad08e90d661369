"""The little world that the events speak of: a tenant with an agent, a tool, a key, a user, runs and sessions."""

import hashlib
import importlib.util
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from moto import mock_aws

from shared import config
from shared.clients import addresses, aws, code_runner, http, llm, machines, secrets
from shared.domain import (
    agents,
    api_keys,
    builds,
    code_tasks,
    identities,
    invites,
    passwords,
    registrations,
    run_ends,
    runs,
    tenants,
    tools,
    uploads,
)
from shared.domain import code_runner as runner
from shared.domain.audit import Subject
from shared.domain.budgets import Budget
from shared.store import keys, run_log
from shared.store.table import Put, TenantStore
from tests.house.repository import resources
from tests.unit.support import tarballs

TENANT, USER = "tenant_a", "tenant_a-user"
OTHER_TENANT = "globex"
AGENT = "019aa649-1a01-7000-8000-000000000001"
TOOL = "019aa649-1a02-7000-8000-000000000002"
API_KEY = "019aa649-1a03-7000-8000-000000000003"
RUN = "019aa649-1a04-7000-8000-000000000004"
RUN_ASKING_FOR_THE_TOOL = "019aa649-1a05-7000-8000-000000000005"
ANN = "019aa649-1a06-7000-8000-000000000006"
REFRESH_FAMILY, REFRESH_SECRET = "019aa649-1a07-7000-8000-000000000007", "r" * 43
RUN_OF_SESSION = "019aa649-1a09-7000-8000-000000000009"
RUN_BEFORE = "019aa649-1a0a-7000-8000-00000000000a"
CODE_AGENT = "019aa649-1a0b-7000-8000-00000000000b"
CODE_AGENT_READY = "019aa649-1a0d-7000-8000-00000000000d"
RUN_OF_CODE = "019aa649-1a0c-7000-8000-00000000000c"
RUN_CALLED = "019aa649-1a08-7000-8000-000000000008"
TOOL_CALL = "call_echo"
TOOL_ENDPOINT = "https://tools.example.com/echo"

BOOT_KEYS = {TENANT: {"tenant_id": TENANT, "user_id": USER, "scopes": ["admin"]}}
_ENVIRONMENT = {
    "TABLE_NAME": "world",
    "UPLOADS_BUCKET": "world",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "ALLOW_TEST_TOKENS": "true",
    "API_KEY_PEPPER": "pepper",
    "JWT_SECRET": "secret-of-the-tokens-" * 3,
    "AUTH_API_KEYS": json.dumps(BOOT_KEYS),
}
_CACHES = (config.settings, aws.dynamodb, aws.s3, secrets.secret, secrets.ring)


@contextmanager
def in_memory() -> Iterator[None]:
    """AWS in memory; the model and the tool's server answer, the machine takes its time."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        stand_still(patch)
        patch.setattr(llm, "chat", lambda *args, **options: llm.Reply("It is on its way.", [], 10, 5))
        patch.setattr(http, "send", lambda *args, **options: http.HttpAnswer(200, {}, b'{"said": "hello"}'))
        patch.setattr(addresses, "opened", lambda address: io.BytesIO(tarballs.agent()))
        patch.setattr(code_runner, "invoke", lambda tenant, task: asdict(runner.run(code_tasks.Task(**task))))
        forget()
        place: Any = {"LocationConstraint": _ENVIRONMENT["AWS_DEFAULT_REGION"]}
        aws.s3().create_bucket(Bucket=_ENVIRONMENT["UPLOADS_BUCKET"], CreateBucketConfiguration=place)
        yield
    forget()


def stand_still(patch: pytest.MonkeyPatch) -> None:
    """Make passwords cheap in this process, and let its machines take their time."""
    patch.setattr(passwords, "ROUNDS", 4)
    patch.setattr(machines, "run_and_wait", lambda pointer: False)
    for name in ("start_express", "start_background", "stop_background"):
        patch.setattr(machines, name, lambda pointer: None)


@contextmanager
def seeded() -> Iterator[None]:
    """The world, new."""
    _make_table()
    seed()
    yield
    aws.dynamodb().delete_table(TableName=_ENVIRONMENT["TABLE_NAME"])


def forget() -> None:
    """Drop what the process remembers of settings, clients and tenants."""
    for cached in _CACHES:
        cached.cache_clear()
    identities._remembered.clear()
    tenants._remembered.clear()


def _make_table() -> None:
    (table,) = resources("AWS::DynamoDB::Table").values()
    wanted: Any = {
        name: table[name] for name in ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")
    }
    aws.dynamodb().create_table(TableName=_ENVIRONMENT["TABLE_NAME"], **wanted)


def seed(tool_endpoint: str = TOOL_ENDPOINT) -> None:
    """Fill the table that the settings name. Runs are overdue some minutes later, so no copy of this lasts."""
    TenantStore(OTHER_TENANT).write(*tenants.new(OTHER_TENANT, "Globex"))
    echo = tools.ToolCreate(name="echo_tool", endpoint=tool_endpoint)
    tools.create(TenantStore(TENANT, TOOL), echo)
    support = agents.AgentCreate(name="support", status="published", tool_ids=[TOOL])
    agents.create(TenantStore(TENANT, AGENT), support, owner=USER)
    agents.create(TenantStore(TENANT, CODE_AGENT), agents.AgentCreate(name="parrot", kind="code"), owner=USER)
    code = tarballs.agent()
    file = uploads.UploadCreate(filename="agent.tar.gz", size=len(code), sha256=hashlib.sha256(code).hexdigest())
    uploads.begin(TenantStore(TENANT), CODE_AGENT, file, code)
    agents.create(TenantStore(TENANT, CODE_AGENT_READY), agents.AgentCreate(name="echo", kind="code"), owner=USER)
    uploads.begin(TenantStore(TENANT), CODE_AGENT_READY, file, code)
    builds.build(TenantStore(TENANT), CODE_AGENT_READY, 1)
    granted = frozenset({"admin"})
    api_keys.create(TenantStore(TENANT, API_KEY), api_keys.ApiKeyCreate(name="ci"), user_id=USER, granted=granted)
    _sign_up_ann()
    starter = _Starter(USER, "key", granted, "trace")
    question = runs.RunCreate(agent_id="support", input_message="Where is my order?")
    for run_id in (RUN, RUN_ASKING_FOR_THE_TOOL):
        runs.start(TenantStore(TENANT, run_id), question, starter)
    runs.start(TenantStore(TENANT, RUN_OF_CODE), question.model_copy(update={"agent_id": "echo"}), starter)
    asked = {"id": TOOL_CALL, "name": "echo_tool", "function_name": "echo_tool", "arguments": '{"text": "hello"}'}
    step = ("message.completed", {"step": 1, "content": None, "tool_calls": [asked]})
    TenantStore(TENANT).write(run_log.append(RUN_ASKING_FOR_THE_TOOL, 1, [step]))
    in_session = question.model_copy(update={"session_id": "orders"})
    _end(runs.start(TenantStore(TENANT, RUN_OF_SESSION), in_session, starter).id)
    waiting = question.model_copy(update={"session_id": "claims", "on_conflict": "enqueue"})
    for run_id in (RUN_BEFORE, RUN_CALLED):
        runs.start(TenantStore(TENANT, run_id), waiting, starter)
    _end(RUN_BEFORE)


def _end(run_id: str) -> None:
    run_ends.finish(TenantStore(TENANT), run_id, "succeeded", stop_reason="completed", output="It is on its way.")


def _sign_up_ann() -> None:
    """A user of the tenant who has logged in."""
    invite = invites.create(TenantStore(TENANT), invites.InviteCreate(), user_id=USER, granted=frozenset({"admin"}))
    ann = {"email": "ann@example.com", "username": "ann", "password": "correct horse"}
    draft = registrations.Registration.model_validate(ann | {"invite_token": invite.invite_token})
    registrations.register(TenantStore("_public", ANN), draft, Subject())
    family: dict[str, Any] = {
        "tenant_id": TENANT,
        "user_id": ANN,
        "digest": hashlib.sha256(REFRESH_SECRET.encode()).hexdigest(),
    }
    family |= {"spent": "", "request_id": "", "expires_at": int(time.time()) + 3_600}
    TenantStore(TENANT).write(Put(keys.refresh_family(REFRESH_FAMILY), json.dumps(family)))


@dataclass(frozen=True)
class _Starter:
    user_id: str
    key_id: str
    scopes: frozenset[str]
    trace_id: str
    budgets: tuple[Budget, ...] = ()


def load(file: Path) -> ModuleType:
    """A function's module, loaded by its path as Lambda does."""
    spec = importlib.util.spec_from_file_location(f"house_{file.parent.name}_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
