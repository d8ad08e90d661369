"""Laws of events/: each function has one, it is what AWS sends, and the function succeeds with it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.domain import audit, usage
from shared.domain.conversation import replay
from shared.store import run_log
from shared.store.table import TenantStore
from tests.house import world
from tests.house.repository import EVENTS, ROOT, Function, api_functions, functions, load_json, shown

OPENAPI: dict[str, Any] = load_json(ROOT / "openapi.json")


def _function(name: str) -> Function:
    (found,) = [function for function in functions() if function.name == name]
    return found


@pytest.fixture(scope="module")
def in_memory() -> Iterator[None]:
    with world.in_memory():
        yield


@pytest.fixture
def seeded(in_memory: None) -> Iterator[None]:
    with world.seeded():
        yield


def _invoke(function: Function) -> Any:
    return world.load(function.file).handler(load_json(function.event), None)


def test_every_function_has_an_event() -> None:
    missing = [shown(function.event) for function in functions() if not function.event.exists()]
    assert not missing, f"write an event with which the function succeeds in tests/house/world.py: {missing}"


def test_every_event_has_a_function() -> None:
    used = {function.event for function in functions()}
    unused = [shown(file) for file in EVENTS.rglob("*") if file.is_file() and file not in used]
    assert not unused, f"delete them: {unused}"


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("function", api_functions(), ids=lambda function: function.name)
def test_an_api_function_succeeds_with_its_event(function: Function) -> None:
    event = load_json(function.event)
    assert (event["httpMethod"], event["resource"]) == function.route, "the event must be of the function's route"
    assert event["path"] == event["resource"].format(**(event["pathParameters"] or {}))
    answer = _invoke(function)
    documented = OPENAPI["paths"][event["resource"]][event["httpMethod"].lower()]["responses"]
    assert 200 <= answer["statusCode"] < 300, f"the event must succeed, got {answer['body']}"
    assert str(answer["statusCode"]) in documented, "openapi.json must name the answer: responses={...} on the route"
    assert answer["multiValueHeaders"]["X-Trace-Id"] == [event["headers"]["X-Trace-Id"]]


@pytest.mark.usefixtures("seeded")
def test_the_events_carry_what_the_authorizer_answers() -> None:
    answer = _invoke(_function("authorizer/authorize"))
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    said = {"principalId": answer["principalId"], **answer["context"]}
    for function in api_functions():
        assert function.route
        if function.public:
            assert "authorizer" not in load_json(function.event)["requestContext"], "nobody asks the authorizer"
            continue
        # The operator's own key has more scopes than the administrator's.
        operator = {"scopes": "admin tenants:read tenants:write"} if function.route[1].startswith("/tenants") else {}
        carried = load_json(function.event)["requestContext"]["authorizer"]
        assert (said | operator).items() <= carried.items(), (
            f"{shown(function.event)}: the authorizer answers {json.dumps(said)}"
        )


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize(
    ("worker", "last_event"), [("call_model", "result"), ("call_tool", "tool.completed"), ("fail_run", "error")]
)
def test_a_worker_succeeds_with_its_event(worker: str, last_event: str) -> None:
    function = _function(f"agent_run/{worker}")
    _invoke(function)
    log = run_log.read(TenantStore(world.TENANT), load_json(function.event)["run_id"])
    assert log.events[-1].event == last_event
    assert replay(log.events).pending() == []


@pytest.mark.usefixtures("seeded")
def test_the_reader_of_the_stream_begins_the_run_of_its_event() -> None:
    _invoke(_function("runs/call_up"))
    log = run_log.read(TenantStore(world.TENANT), world.RUN_CALLED)
    assert [event.event for event in log.events] == ["start"]


@pytest.mark.usefixtures("seeded")
def test_the_streams_reader_succeeds_with_its_event() -> None:
    function = _function("audit/record")
    assert _invoke(function) == {"batchItemFailures": []}
    store = TenantStore(world.TENANT)
    assert [audit.read(item).action for item in audit.find(store, audit.AuditFilter(), 10, None).items] == [
        "create_agent"
    ]
    assert [day.runs for day in usage.days(store, 10)] == [1]
