"""Laws of events/: each function has one, it is what AWS sends, and the function succeeds with it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.house import success, world
from tests.house.repository import EVENTS, ROOT, Function, api_functions, functions, load_json, shown

# The gateway's control plane is not in memory; tests/deploy calls these.
_NEEDS_AWS = {"tenants/provision"}
_INVOCATION = re.compile(r"sam local invoke (\w+) --event ([^\s`]*\w)")


def _name(function: Function) -> str:
    return function.name


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


def test_documented_invocations_name_a_function_with_its_event() -> None:
    """`sam local invoke` needs Docker, so nothing else would notice."""
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = [pair for text in texts for pair in _INVOCATION.findall(text.read_text())]
    assert found
    known = {(function.logical_id, shown(function.event)) for function in functions()}
    wrong = [pair for pair in found if pair not in known]
    assert not wrong, f"no such function with this event: {wrong}"


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("function", api_functions(), ids=_name)
def test_an_api_function_succeeds_with_its_event(function: Function) -> None:
    event = load_json(function.event)
    assert (event["httpMethod"], event["resource"]) == function.route, "the event must be of the function's route"
    assert event["path"] == event["resource"].format(**(event["pathParameters"] or {}))
    success.prove(function, _invoke(function))


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
@pytest.mark.parametrize("worker", [f for f in functions() if not f.route and f.name not in _NEEDS_AWS], ids=_name)
def test_a_worker_succeeds_with_its_event(worker: Function) -> None:
    success.prove(worker, _invoke(worker))
