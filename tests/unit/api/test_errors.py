"""What becomes of errors, and the trace id of every answer."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from shared.domain import agents
from shared.errors import TableBusy
from shared.store.ids import is_id
from shared.store.table import TenantStore
from shared.telemetry import logger
from tests.unit.support import runs
from tests.unit.support.gateway import Api

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log lines written, as JSON."""
    stream = io.StringIO()
    handler = logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    handler.setStream(before)


def break_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def broken(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(TenantStore, "get", broken)


def test_unknown_error_is_opaque_and_logged(api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    break_with(monkeypatch, RuntimeError("password=hunter2"))
    answer = api.get("/agents/x", headers={"X-Trace-Id": "trace-1"})
    assert (answer.status, answer.json) == (
        500,
        {"detail": "The platform failed to answer; try again.", "code": "internal_error", "trace_id": "trace-1"},
    )
    (line,) = [line for line in lines() if line["level"] == "ERROR"]
    assert "RuntimeError" in line["exception"]
    assert (line["trace_id"], line["tenant_id"], line["user_id"]) == ("trace-1", "tenant_a", "user_1")
    assert line["operation"] == "GET /agents/{agent_ref}"


def test_refused_request_of_aws_is_opaque(api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    told = {"Error": {"Code": "AccessDenied", "Message": "arn:aws:dynamodb:eu-central-1:1:table/t"}}
    break_with(monkeypatch, ClientError(told, "GetItem"))  # type: ignore[arg-type]
    answer = api.get("/agents/x")
    assert (answer.status, "arn:" in answer.text) == (500, False)
    assert "AccessDenied" in str(lines())


def test_busy_table_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    break_with(monkeypatch, TableBusy("ThrottlingException"))
    answer = api.get("/agents/x")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "unavailable", "1")


@pytest.mark.parametrize("wrong", [None, "x", {"id": 7}, []])
def test_answer_that_breaks_its_own_type_is_our_fault(
    api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines, wrong: object
) -> None:
    monkeypatch.setattr(agents, "get", lambda store, ref: wrong)
    assert api.get("/agents/x").status == 500
    assert [line["level"] for line in lines()].count("ERROR") == 1


def test_next_request_is_not_touched_by_an_error(api: Api, monkeypatch: pytest.MonkeyPatch, lines: Lines) -> None:
    with monkeypatch.context() as broken:
        break_with(broken, RuntimeError("x"))
        api.get("/agents/x", headers={"X-Trace-Id": "first"})
    other = api.as_(tenant="tenant_b", user="user_2")
    assert other.get("/agents/x", headers={"X-Trace-Id": "second"}).status == 404
    monkeypatch.setattr(agents, "get", lambda store, ref: None)
    other.get("/agents/x", headers={"X-Trace-Id": "third"})
    last = lines()[-1]
    assert (last["trace_id"], last["tenant_id"], last["user_id"]) == ("third", "tenant_b", "user_2")


def test_reserved_id_of_a_failed_request_is_not_left_behind(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is used again, perhaps for another tenant."""
    reserved: list[str] = []
    create = agents.create

    def failing(store: TenantStore, *given: Any, **named: Any) -> Any:
        reserved.append(store.new_id())
        raise RuntimeError("x")

    with monkeypatch.context() as broken:
        broken.setattr(agents, "create", failing)
        assert api.post("/agents", {"name": "x"}, headers={"Idempotency-Key": "k"}).status == 500
    assert agents.create is create
    assert api.make("/agents", name="x")["id"] != reserved[0]


@pytest.mark.parametrize("given", ["trace-1", "a", "A.b:c_d-9", "x" * 128])
@pytest.mark.parametrize("header", ["X-Trace-Id", "x-trace-id"])
def test_trace_id_comes_back(api: Api, given: str, header: str) -> None:
    for answer in (api.get("/agents", headers={header: given}), api.get("/agents/x", headers={header: given})):
        assert answer.headers["x-trace-id"] == given


@pytest.mark.parametrize(
    "hostile", ["", " ", "x" * 129, "a b", "a\r\nSet-Cookie: x", "ü", '"', "<script>", "${jndi:x}", "a\x00"]
)
def test_hostile_trace_id_is_replaced(api: Api, hostile: str) -> None:
    for answer in (api.get("/agents", headers={"X-Trace-Id": hostile}), api.post("/agents", raw="{")):
        assert is_id(answer.headers["x-trace-id"])


def test_trace_ids_are_made_anew(api: Api) -> None:
    assert len({api.get("/agents").headers["x-trace-id"] for _ in range(5)}) == 5


def test_nothing_that_a_caller_writes_is_logged(api: Api, lines: Lines) -> None:
    runs.agent(api, system_prompt="hunter2")
    api.post("/agents", {"name": "x", "system_prompt": ["hunter2"]})
    api.get("/agents/hunter2")
    assert "hunter2" not in str(lines())
