"""Laws of updates: what is published when, what a running execution keeps, and what an alarm takes back."""

import json
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Any

import pytest

from local import template
from tests.house.expansion import expand
from tests.house.repository import deployed, resources

PUBLISHED = ("AuthorizerAuthorize", "AgentRunCallCode", "AgentRunCallModel", "AgentRunCallTool", "AgentRunFailRun")
CANARY = {"DeploymentType": "Canary10Percent5Minutes"}
MAX_RESOURCES = 420


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """The stack whose updates take over at once, as in dev."""
    found: dict[str, Any] = expand(deployed())["Resources"]
    return found


@pytest.fixture(scope="module")
def careful() -> dict[str, Any]:
    """The stack whose updates take over step by step, as in prod."""
    found: dict[str, Any] = expand(deployed(), CANARY)["Resources"]
    return found


def _versions(stack: dict[str, Any]) -> set[str]:
    return {name for name, resource in stack.items() if resource["Type"] == "AWS::Lambda::Version"}


def _named(node: Any) -> Iterator[str]:
    """The logical ids that a part of a template refers to."""
    match node:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [name, *_]}:
            yield name
        case {"Fn::Sub": str(text)}:
            yield from re.findall(r"\$\{([A-Za-z0-9]+)", text)
        case dict():
            for value in node.values():
                yield from _named(value)
        case list():
            for value in node:
                yield from _named(value)


def test_exactly_what_stays_in_use_is_published(plain: dict[str, Any]) -> None:
    found = sorted(re.sub("Version[0-9a-f]{10}$", "", name) for name in _versions(plain))
    assert found == sorted(PUBLISHED)
    for name in _versions(plain):
        # The one before is what the canary and running executions still call.
        assert (plain[name]["DeletionPolicy"], plain[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_changed_layer_publishes_all_of_them_anew(plain: dict[str, Any]) -> None:
    other = expand(deployed(), layer="s3://bucket/other")["Resources"]
    assert not _versions(plain) & _versions(other), "code in the layer would not reach the aliases"


def test_a_new_release_publishes_all_of_them_anew(plain: dict[str, Any]) -> None:
    for name in _versions(plain):
        # CloudFormation replaces a version whose description changes, and Lambda publishes only what has changed.
        assert "Release" in set(_named(plain[name]["Properties"]["Description"])), name
    assert deployed()["Globals"]["Function"]["Environment"]["Variables"]["RELEASE"] == {"Ref": "Release"}


def test_boot_keys_that_are_taken_away_are_gone(plain: dict[str, Any]) -> None:
    (version,) = (name for name in _versions(plain) if name.startswith("AuthorizerAuthorize"))
    condition = plain[version]["Properties"]["Description"]["Fn::If"][0]
    assert deployed()["Conditions"][condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AuthApiKeys"}, "{}"]}]}


def test_the_gateway_calls_the_authorizer_by_its_alias(plain: dict[str, Any]) -> None:
    uri = plain["Api"]["Properties"]["Body"]["components"]["securitySchemes"]["KeyAuthorizer"][
        "x-amazon-apigateway-authorizer"
    ]["authorizerUri"]
    assert "${AuthorizerAuthorizeAliaslive}" in json.dumps(uri)


def test_updates_at_once_need_no_deployment_group(plain: dict[str, Any]) -> None:
    assert not [name for name, resource in plain.items() if resource["Type"].startswith("AWS::CodeDeploy")]
    assert "UpdatePolicy" not in plain["AuthorizerAuthorizeAliaslive"]


@pytest.mark.parametrize("kind", deployed()["Parameters"]["DeploymentType"]["AllowedValues"])
def test_every_kind_of_deployment_says_how_it_goes(kind: str) -> None:
    said = deployed()["Mappings"]["DeploymentTypes"][kind]
    gradual = "AllAtOnce" not in kind
    assert said["Gradual"] == ("true" if gradual else "false")
    groups = [
        resource["Properties"]["DeploymentConfigName"]
        for resource in expand(deployed(), {"DeploymentType": kind})["Resources"].values()
        if resource["Type"] == "AWS::CodeDeploy::DeploymentGroup"
    ]
    if gradual:
        assert json.dumps(groups).count(kind) == 1
        assert kind.startswith(f"Canary10Percent{said['Minutes']}M"), "machines and functions must go alike"
    else:
        assert not groups


def test_both_stacks_fit(plain: dict[str, Any], careful: dict[str, Any]) -> None:
    assert len(plain) < len(careful) <= MAX_RESOURCES


@pytest.mark.parametrize("parameters", [{}, CANARY])
def test_everything_referred_to_exists(parameters: dict[str, str]) -> None:
    """SAM makes the names of aliases and versions, so a misspelt one is found by nobody but CloudFormation."""
    found = expand(deployed(), parameters)
    known = {*found["Resources"], *found["Parameters"], "AWS"}
    body = {name: value for name, value in found["Resources"]["Api"]["Properties"].items() if name != "Body"}
    parts = {**found["Resources"], "Api": body}
    missing = {name for name in _named(parts) if name.partition("::")[0] not in known}
    assert not missing, f"neither a resource nor a parameter: {missing}"


@pytest.mark.parametrize("parameters", [{}, CANARY])
def test_nothing_waits_for_itself(parameters: dict[str, str]) -> None:
    """An alarm that watches what its deployment is part of would make the stack impossible to create."""
    stack = expand(deployed(), parameters)["Resources"]
    waits = {
        name: {*_named(resource), *_listed(resource.get("DependsOn"))} & {*stack} for name, resource in stack.items()
    }
    try:
        TopologicalSorter(waits).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of references: {error.args[1]}")


def test_a_canary_is_large_enough_to_raise_its_alarms(careful: dict[str, Any]) -> None:
    threshold = careful["FailedRunsAlarm"]["Properties"]["Threshold"]
    for name in ("RunSyncAliaslive", "RunBackgroundAliaslive"):
        preference = careful[name]["Properties"]["DeploymentPreference"]
        assert preference["Percentage"]["Fn::If"][1] > threshold
        assert {"Ref": "FailedRunsAlarm"} in preference["Alarms"]["Fn::If"][1]
    group = careful["AuthorizerAuthorizeDeploymentGroup"]["Properties"]["AlarmConfiguration"]
    watched = {alarm["Name"]["Ref"] for alarm in group["Alarms"]}
    assert watched == {"ServerErrorsAlarm", "AuthorizerErrorsAlarm", "FailedRunsAlarm"}
    # The rest of the requests may all be well.
    assert careful["ServerErrorsAlarm"]["Properties"]["Threshold"] < 10


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def test_the_emulator_gets_no_versions() -> None:
    """Its CloudFormation refuses them: all names stand for the functions and machines themselves."""
    words = json.dumps(template.unversioned(deployed()))
    found = re.findall(r"AutoPublish\w+|DeploymentPreference\b|\w+Aliaslive|\w+\.(?:Alias|Version)\b", words)
    assert not found
    for name in resources("AWS::Serverless::StateMachine"):
        assert f'{{"Ref": "{name}"}}' in words


def test_what_is_published_begins_from_a_snapshot_if_that_is_asked_for(plain: dict[str, Any]) -> None:
    snapped = {name: function["Properties"]["SnapStart"] for name, function in plain.items() if _snaps(function)}
    wanted = {"Fn::If": ["WithSnapStart", {"ApplyOn": "PublishedVersions"}, {"Ref": "AWS::NoValue"}]}
    assert snapped == dict.fromkeys(PUBLISHED, wanted)
    source = deployed()
    assert source["Parameters"]["SnapStart"]["Default"] == "false", "a kept snapshot costs when nobody calls"
    (rule,) = source["Rules"]["SnapStartNeedsPython312"]["Assertions"]
    assert rule["Assert"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PythonRuntime"}, "python3.11"]}]}


def _snaps(resource: dict[str, Any]) -> bool:
    return resource["Type"] == "AWS::Lambda::Function" and "SnapStart" in resource["Properties"]
