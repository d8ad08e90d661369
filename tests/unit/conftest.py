"""The platform in one process: a table in moto, a scripted model, tool servers on paper, no network."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import pytest_socket
from botocore import UNSIGNED
from moto import mock_aws
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from shared import clock, config
from shared.clients import aws, dead_letters, http, llm, machines, queues, secrets
from shared.domain import identities, leaves, passwords, tenants
from shared.store.table import TenantStore
from shared.telemetry import logger
from tests.unit.support import gateway
from tests.unit.support.faults import Faults
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel
from tests.unit.support.server import ToolServer, exchanging
from tests.unit.support.table_stream import TableStream

_HERE = Path(__file__).parent
_TABLE = "table"
_ENVIRONMENT = {
    "TABLE_NAME": _TABLE,
    "UPLOADS_BUCKET": "uploads",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-of-the-platform",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "POWERTOOLS_SERVICE_NAME": "agent-platform",
    "API_KEY_PEPPER": "pepper" * 6,
    "JWT_SECRET": "secret-of-the-tokens-" * 3,
    "OPENAI_API_KEY": "key-of-the-model-provider",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No unit test opens a socket, except those that say which host they need."""
    for item in items:
        if _HERE in item.path.parents and item.get_closest_marker("allow_hosts") is None:
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture(scope="session", autouse=True)
def aws_on_paper() -> Iterator[None]:
    """moto, with one client and one table that each test finds empty: making them costs more than most tests."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in _ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        _forget_clients()
        # Nobody checks signatures here, and they are a tenth of a request.
        aws.dynamodb().meta.events.register("choose-signer.dynamodb", lambda **_: UNSIGNED)
        aws.dynamodb().create_table(TableName=_TABLE, **gateway.table())
        place: Any = {"LocationConstraint": _ENVIRONMENT["AWS_DEFAULT_REGION"]}
        aws.s3().create_bucket(Bucket=_ENVIRONMENT["UPLOADS_BUCKET"], CreateBucketConfiguration=place)
        yield
    _forget_clients()


def _forget_clients() -> None:
    """Clients of other tests in this process go elsewhere."""
    _forget_settings()
    for client in (aws.dynamodb, aws.s3, aws.stepfunctions, aws.secretsmanager):
        client.cache_clear()


@pytest.fixture
def setting() -> Iterator[Callable[[str, str | None], None]]:
    """Sets an environment variable (None removes it), and makes the platform read its settings anew."""
    with pytest.MonkeyPatch.context() as patch:

        def change(name: str, value: str | None) -> None:
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
            _forget_settings()

        yield change
    _forget_settings()


def _forget_settings() -> None:
    for cached in (config.settings, config.model_prices, secrets.secret, secrets.ring, secrets.model_key, llm._client):
        cached.cache_clear()
    identities._remembered.clear()
    tenants._remembered.clear()


@pytest.fixture
def table(setting: Callable[[str, str | None], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty table. Nothing sleeps: back-off is a matter of time, and time is not what these tests wait for."""
    _places().clear()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    return _TABLE


def _places() -> dict[Any, Any]:
    """moto's items of the table, by their sort keys in their partitions; others after each refused transaction."""
    tables = get_backend("dynamodb")[DEFAULT_ACCOUNT_ID][_ENVIRONMENT["AWS_DEFAULT_REGION"]].tables
    found: dict[Any, Any] = tables[_TABLE].items
    return found


@pytest.fixture
def sockets() -> Iterator[None]:
    """Look-ups that a test replaced stay blocked behind it otherwise, since pytest-socket looks before we undo that."""
    yield
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def fast_passwords(sockets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt's least cost."""
    monkeypatch.setattr(passwords, "ROUNDS", 4)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """The lines that the platform has written since it was asked last: what happened, and metrics."""

    class Now:
        """The output of now; the logger's own is that of the moment when it was made."""

        write = staticmethod(lambda text: sys.stdout.write(text))
        flush = staticmethod(lambda: None)

    monkeypatch.setattr(logger.registered_handler, "stream", Now)
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def api(table: str) -> Api:
    """The API as the administrator of `tenant_a`."""
    return Api()


@pytest.fixture
def other(api: Api) -> Api:
    """The API as the administrator of `tenant_b`, who must never see anything of `tenant_a`."""
    return api.as_(tenant="tenant_b", user="user_2")


@pytest.fixture
def store(table: str) -> TenantStore:
    """The store of `tenant_a`."""
    return TenantStore("tenant_a")


@pytest.fixture
def items(table: str) -> Callable[[], list[dict[str, Any]]]:
    """Reads the whole table as it is, where moto keeps it: tests look after each write, and a scan takes its time."""
    return lambda: [item.to_json()["Attributes"] for sorts in _places().values() for item in sorts.values()]


@pytest.fixture
def things(items: Callable[[], list[dict[str, Any]]]) -> Callable[[], list[dict[str, Any]]]:
    """Reads the table without the audit's records: a call that is refused leaves one, and nothing else."""
    return lambda: [item for item in items() if not item["pk"]["S"].endswith("#AUDIT")]


@pytest.fixture
def model(table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedModel]:
    """The model provider. The test fails if its script is not followed to the end."""
    scripted = ScriptedModel()
    transport = httpx2.MockTransport(scripted.handle)
    with httpx2.Client(transport=transport) as client:
        monkeypatch.setattr(openai, "OpenAI", partial(openai.OpenAI, http_client=client))
        yield scripted
    scripted.verify()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ToolServer]:
    """The servers behind all HTTP tools."""
    servers = ToolServer()
    # Looked up with each call: a test may put its own there.
    monkeypatch.setattr(http, "exchange", exchanging(lambda request: servers.handle(request)))
    yield servers
    servers.verify()


@pytest.fixture
def machine(table: str, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The state machine of the runs."""
    stand_in = Machine()
    for name in ("run_and_wait", "start_express", "start_background", "stop_background"):
        monkeypatch.setattr(machines, name, getattr(stand_in, name))
    return stand_in


def _put_around(monkeypatch: pytest.MonkeyPatch, watcher: Faults | TableStream) -> None:
    """Let it see every write."""
    for name in ("write", "write_apart"):
        write = getattr(TenantStore, name)
        seen = lambda store, *writes, write=write: watcher.around(partial(write, store, *writes))  # noqa: E731
        monkeypatch.setattr(TenantStore, name, seen)


@pytest.fixture
def faults(table: str, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """What happens around the writes from here on."""
    found = Faults()
    _put_around(monkeypatch, found)
    return found


@pytest.fixture
def stream(items: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch) -> TableStream:
    """What is written from here on, as the table's stream tells it."""
    found = TableStream(items)
    monkeypatch.setattr(queues, "send", lambda queue, message, **order: found.messages.append((queue, message, order)))
    _put_around(monkeypatch, found)
    return found


@pytest.fixture
def parked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The dead letters."""
    letters: list[dict[str, Any]] = []
    monkeypatch.setattr(dead_letters, "park", lambda record, reason, queue: letters.append(dict(record)))
    return letters


@pytest.fixture
def travel(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves every clock that the platform reads, by seconds, forth or back."""
    moved = timedelta()
    wall, steady = time.time, time.monotonic

    class Moved(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + moved

    def by(seconds: float) -> None:
        nonlocal moved
        moved += timedelta(seconds=seconds)
        monkeypatch.setattr(clock, "datetime", Moved)
        monkeypatch.setattr(time, "time", lambda: wall() + moved.total_seconds())
        monkeypatch.setattr(time, "monotonic", lambda: steady() + moved.total_seconds())

    return by


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock by which the platform measures how long something takes stands still: nothing takes any time."""
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)


class Requests(list[str]):
    """The names of the DynamoDB requests sent, such as `GetItem`."""

    def of(self, action: Callable[[], Any]) -> list[str]:
        """The requests that an action takes."""
        self.clear()
        action()
        return list(self)


@pytest.fixture
def requests(table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Requests]:
    """Counts what goes to DynamoDB, at the last point inside botocore; a slow machine reads no log again."""
    sent = Requests()
    monkeypatch.setattr(leaves, "LEAVE_SECONDS", math.inf)

    def count_one(model: Any, **_: Any) -> None:
        sent.append(model.name)

    events = aws.dynamodb().meta.events
    events.register("before-call.dynamodb", count_one)
    yield sent
    events.unregister("before-call.dynamodb", count_one)
