"""Laws of the run's state machine: it goes only where there is something, and may do only what it does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared import errors
from tests.house.repository import ASL, load_json, resources, statements

MACHINES = resources("AWS::Serverless::StateMachine")


def _scopes(machine: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The machine, and every machine inside a Map or Parallel: targets are looked up in their own."""
    yield machine
    for state in machine["States"].values():
        for inner in (
            *state.get("Branches", ()),
            *(state[name] for name in ("ItemProcessor", "Iterator") if name in state),
        ):
            yield from _scopes(inner)


def _states() -> Iterator[dict[str, Any]]:
    for scope in _scopes(load_json(ASL)):
        yield from scope["States"].values()


def _targets(state: dict[str, Any]) -> set[str]:
    ways = [state, *state.get("Choices", ()), *state.get("Catch", ())]
    return {way[name] for way in ways for name in ("Next", "Default") if name in way}


def _substitutions() -> set[str]:
    return set(re.findall(r"\$\{(\w+)\}", ASL.read_text()))


def test_every_target_exists_and_every_state_is_reached() -> None:
    for scope in _scopes(load_json(ASL)):
        reached = {scope["StartAt"]}.union(*(_targets(state) for state in scope["States"].values()))
        lost = reached ^ scope["States"].keys()
        assert not lost, f"named by StartAt, Next or Default but no state, or never reached: {sorted(lost)}"


def unheard_of(machine: dict[str, Any]) -> list[str]:
    """The errors that a definition waits for and nothing can raise: no RunError of shared.errors bears their names."""
    states = (state for scope in _scopes(machine) for state in scope["States"].values())
    ways = (way for state in states for way in (*state.get("Retry", ()), *state.get("Catch", ())))
    names = {name for way in ways for name in way["ErrorEquals"] if not name.startswith(("States.", "Lambda."))}
    assert names, "the machine should know at least one error of ours"
    return sorted(name for name in names if not issubclass(getattr(errors, name, object), errors.RunError))


def test_every_error_of_ours_is_a_run_error() -> None:
    lost = unheard_of(load_json(ASL))
    assert not lost, f"no RunError in shared.errors, so the machine waits in vain: {lost}"


def test_a_misspelt_error_is_found() -> None:
    spoilt = json.loads(ASL.read_text().replace('"ModelUnavailable"', '"ModelUnavailible"'))
    assert unheard_of(spoilt) == ["ModelUnavailible"]


def test_every_task_survives_a_failing_lambda_service() -> None:
    for state in _states():
        if state["Type"] == "Task":
            retried = {name for retry in state.get("Retry", ()) for name in retry["ErrorEquals"]}
            assert retried & {"States.ALL", "Lambda.ServiceException"}, f"{state['Resource']} needs a Retry"
            assert "TimeoutSeconds" in state or "States.ALL" in retried, f"{state['Resource']} needs TimeoutSeconds"


def test_there_are_an_express_and_a_standard_machine_of_one_definition() -> None:
    assert {machine["Type"] for machine in MACHINES.values()} == {"EXPRESS", "STANDARD"}
    assert {machine["DefinitionUri"] for machine in MACHINES.values()} == {"state_machines/agent_run.asl.json"}


@pytest.mark.parametrize("name", MACHINES)
def test_the_template_gives_every_substitution(name: str) -> None:
    given = MACHINES[name]["DefinitionSubstitutions"].keys()
    assert given == _substitutions(), f"{name}: DefinitionSubstitutions and the definition must name the same"


@pytest.mark.parametrize("name", MACHINES)
def test_the_role_holds_exactly_the_functions_that_the_machine_calls(name: str) -> None:
    machine = MACHINES[name]
    called = {_function(machine["DefinitionSubstitutions"][key]) for key in _substitutions()}
    statement, delivery = statements(machine)
    assert statement["Action"] == ["lambda:InvokeFunction"], f"{name} calls functions and nothing else"
    granted = [resource["Fn::Sub"] for resource in statement["Resource"]]
    assert sorted(granted) == sorted(f"${{{function}.Arn}}:*" for function in called), (
        f"{name}: grant lambda:InvokeFunction on all versions of the functions that it calls, and on nothing else"
    )
    assert all(action.startswith("logs:") for action in delivery["Action"]), f"{name}: its log needs no other action"


def test_a_running_execution_keeps_its_definition_and_its_workers() -> None:
    functions = resources("AWS::Serverless::Function")
    for name, machine in MACHINES.items():
        assert machine["AutoPublishAlias"] == "live", f"{name}: runs start by the alias of a published definition"
        for key in _substitutions():
            worker = functions[_function(machine["DefinitionSubstitutions"][key])]
            assert worker["AutoPublishAlias"] == "live", f"{key}: publish its versions"
    for name, function in functions.items():
        variables = function.get("Environment", {}).get("Variables", {})
        for variable, started in (("RUN_SYNC_MACHINE", "RunSync"), ("RUN_BACKGROUND_MACHINE", "RunBackground")):
            alias = {"Ref": f"{started}Aliaslive"}
            assert variables.get(variable, alias) == alias, f"{name}: {variable} is the alias of the machine"


def _function(version: dict[str, str]) -> str:
    """The function whose published version this names."""
    logical_id, _, attribute = version["Ref"].partition(".")
    assert attribute == "Version", f"{version}: name a version, which stays as it is when the next one is published"
    return logical_id


def test_the_definition_is_valid_amazon_states_language() -> None:
    # cfn-lint takes seconds to load, and only this test needs it.
    from cfnlint.api import lint

    # It checks the definition of CloudFormation's own resource, not of SAM's.
    properties = {
        "RoleArn": "arn:aws:iam::123456789012:role/machine",
        "DefinitionSubstitutions": {
            name: f"arn:aws:lambda:us-east-1:123456789012:function:{name}" for name in _substitutions()
        },
        "Definition": load_json(ASL),
    }
    machine = {"Type": "AWS::StepFunctions::StateMachine", "Properties": properties}
    found = lint(json.dumps({"Resources": {"Machine": machine}}))
    assert not found, f"correct {ASL.name}: {[match.message for match in found]}"
