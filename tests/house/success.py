"""What it means that a function succeeded with its event, wherever it ran: in this process or deployed."""

from collections.abc import Callable
from typing import Any

from shared.domain import audit, code_versions, tenants, usage
from shared.domain.conversation import replay
from shared.store import keys, run_log
from shared.store.table import TenantStore
from tests.house import world
from tests.house.repository import ROOT, Function, load_json

_OPENAPI: dict[str, Any] = load_json(ROOT / "openapi.json")


def prove(function: Function, answer: Any) -> None:
    """Look at the answer, and for workers at the table that `shared.store` reads.

    Raises:
        AssertionError: the function did not do what its event asks for.
    """
    if function.route:
        _of_the_api(function, answer)
    else:
        _WORKERS[function.name](function, answer)


def _of_the_api(function: Function, answer: Any) -> None:
    event = load_json(function.event)
    documented = _OPENAPI["paths"][event["resource"]][event["httpMethod"].lower()]["responses"]
    assert 200 <= answer["statusCode"] < 400, f"the event must succeed, got {answer['body']}"
    assert str(answer["statusCode"]) in documented, "openapi.json must name the answer: responses={...} on the route"
    assert answer["multiValueHeaders"]["X-Trace-Id"] == [event["headers"]["X-Trace-Id"]]


def _allowed(_: Function, answer: Any) -> None:
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


def _log_ends_with(last: str) -> Callable[[Function, Any], None]:
    def proof(function: Function, _: Any) -> None:
        log = run_log.read(TenantStore(world.TENANT), load_json(function.event)["run_id"])
        assert log.events[-1].event == last
        assert replay(log.events).pending() == []

    return proof


def _called_up(_: Function, answer: Any) -> None:
    log = run_log.read(TenantStore(world.TENANT), world.RUN_CALLED)
    assert [event.event for event in log.events][:1] == ["start"]


def _recorded(_: Function, answer: Any) -> None:
    assert answer == {"batchItemFailures": []}
    store = TenantStore(world.TENANT)
    found = audit.find(store, audit.AuditFilter(), 10, None).items
    assert [audit.read(item).action for item in found] == ["create_agent"]
    assert [day.runs for day in usage.days(store, 10)] == [1]


def _built(_: Function, answer: Any) -> None:
    version = code_versions.get(TenantStore(world.TENANT), world.CODE_AGENT, 1)
    assert version.status == "ready", version.build_log


def _ran(_: Function, answer: Any) -> None:
    assert (answer["status"], answer["result"]) == ("succeeded", '{"input":"hello"}'), answer


def _provisioned(_: Function, answer: Any) -> None:
    item = TenantStore(world.OTHER_TENANT).get(keys.TENANT)
    assert item is not None
    assert tenants.GATEWAY_PART in item.parts, "the tenant has no key at the gateway"


_WORKERS: dict[str, Callable[[Function, Any], None]] = {
    "agent_run/call_code": _log_ends_with("result"),
    "agent_run/call_model": _log_ends_with("result"),
    "agent_run/call_tool": _log_ends_with("tool.completed"),
    "agent_run/fail_run": _log_ends_with("error"),
    "audit/record": _recorded,
    "authorizer/authorize": _allowed,
    "builder/build": _built,
    "code_runner/run": _ran,
    "runs/call_up": _called_up,
    "tenants/provision": _provisioned,
}
