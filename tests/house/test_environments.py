"""Laws of the environments: samconfig.toml gives what the template takes, and prod is the careful one."""

import json
import re
import tomllib
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType

from deployment.environments import Environment, environments
from tests.house.expansion import expand
from tests.house.repository import ROOT, deployed

PARAMETERS: dict[str, dict[str, Any]] = deployed()["Parameters"]
ENVIRONMENTS = environments(ROOT)
WRITTEN: dict[str, Any] = tomllib.loads((ROOT / "samconfig.toml").read_text())


@pytest.fixture(params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> Environment:
    return ENVIRONMENTS[request.param]


def test_there_are_three() -> None:
    assert list(ENVIRONMENTS) == ["dev", "staging", "prod"]
    assert len({one.stack for one in ENVIRONMENTS.values()}) == 3, "no two deploy to the same stack"


def test_guided_begins_with_dev() -> None:
    default, dev = (WRITTEN[name]["deploy"]["parameters"]["parameter_overrides"] for name in ("default", "dev"))
    assert default == dev
    assert WRITTEN["default"]["global"] == WRITTEN["dev"]["global"]


def test_every_parameter_takes_the_value_that_it_is_given(environment: Environment) -> None:
    for name, value in environment.parameters.items():
        assert name in PARAMETERS, f"{environment.name}: the template has no parameter {name}"
        said = PARAMETERS[name]
        if "AllowedValues" in said:
            assert value in [str(allowed) for allowed in said["AllowedValues"]], f"{environment.name}: {name}={value}"
        if "AllowedPattern" in said:
            assert re.fullmatch(said["AllowedPattern"], value), f"{environment.name}: {name}={value}"
        if said["Type"] == "Number":
            assert said.get("MinValue", 0) <= int(value) <= said.get("MaxValue", 10**6), f"{name}={value}"


def test_sam_reads_the_parameters_as_we_do(environment: Environment) -> None:
    reader: Any = CfnParameterOverridesType()
    written = WRITTEN[environment.name]["deploy"]["parameters"]["parameter_overrides"]
    assert reader.convert(written, None, None) == environment.parameters
    given = reader.convert(tuple(environment.overrides(Release="r-1")), None, None)
    assert given == {**environment.parameters, "Release": "r-1"}


def test_every_environment_decides_what_makes_environments_differ(environment: Environment) -> None:
    decided = {"EnvironmentName", "LogLevel", "LogRetentionDays", "CorsOrigins", "DeploymentType", "DeletionProtection"}
    assert decided <= environment.parameters.keys()
    assert environment.parameters["EnvironmentName"] == environment.name
    assert environment.parameters["AllowTestTokens"] == "false"


def test_no_secret_stands_in_the_file(environment: Environment) -> None:
    secret = {name for name, said in PARAMETERS.items() if said.get("NoEcho")}
    assert not secret & environment.parameters.keys()
    assert {name for name in PARAMETERS if re.search(r"ApiKeys?$|Secret$|Password$", name)} <= secret, (
        "NoEcho is missing"
    )


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_what_others_rely_on_is_careful(name: str) -> None:
    said = ENVIRONMENTS[name].parameters
    assert said["DeletionProtection"] == "true"
    assert said["DeploymentType"].startswith("Canary")
    assert "*" not in said["CorsOrigins"]
    assert "localhost" not in said["CorsOrigins"]
    assert "http://" not in said["CorsOrigins"]
    assert said["LogLevel"] == "INFO", "DEBUG shows more than a log should keep"


def test_prod_asks_and_its_canary_outlasts_an_alarm() -> None:
    assert WRITTEN["prod"]["deploy"]["parameters"]["confirm_changeset"] is True
    minutes = deployed()["Mappings"]["DeploymentTypes"][ENVIRONMENTS["prod"].parameters["DeploymentType"]]["Minutes"]
    alarms = json.dumps([deployed()["Resources"][f"{name}Alarm"] for name in ("ServerErrors", "AuthorizerErrors")])
    period = max(int(seconds) for seconds in re.findall(r'"Period": (\d+)', alarms))
    assert minutes * 60 >= 2 * period, "what goes wrong in the canary must be seen before it ends"


def test_guided_can_ask_for_every_parameter() -> None:
    lacking = [name for name, said in PARAMETERS.items() if not said.get("Description") or "Default" not in said]
    assert not lacking, f"give them a Description and a Default: {lacking}"


def test_every_parameter_is_documented() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    # Of the plans' parameters the first is named.
    missing = [name for name in PARAMETERS if f"`{name}`" not in text and not re.search(r"Plan(Rate|Burst)$", name)]
    assert not missing, f"name them in docs/settings.md: {missing}"


def test_the_layer_is_built_for_the_machine_that_runs_it(environment: Environment) -> None:
    variables = environment.build_variables
    assert set(variables) == {"PLATFORM", "PYTHON_VERSION"}
    makefile = (ROOT / "layers" / "shared" / "Makefile").read_text()
    for name in variables:
        assert f"{name} ?= " in makefile
    for architecture in PARAMETERS["Architecture"]["AllowedValues"]:
        for runtime in PARAMETERS["PythonRuntime"]["AllowedValues"]:
            given = Environment("x", "x", {"Architecture": architecture, "PythonRuntime": runtime}, None)
            assert runtime == f"python{given.build_variables['PYTHON_VERSION']}"
    assert Environment("x", "x", {}, None).build_variables == {
        "PLATFORM": re.findall(r"^PLATFORM \?= (.+)$", makefile, re.MULTILINE)[0],
        "PYTHON_VERSION": PARAMETERS["PythonRuntime"]["Default"].removeprefix("python"),
    }


def test_the_capabilities_suffice(environment: Environment) -> None:
    resources = expand(deployed(), environment.parameters)["Resources"].values()
    named = [r for r in resources if {"RoleName", "ManagedPolicyName", "PolicyName"} & {*r.get("Properties", {})}]
    named = [r for r in named if r["Type"] in {"AWS::IAM::Role", "AWS::IAM::ManagedPolicy"}]
    given = WRITTEN[environment.name]["deploy"]["parameters"]["capabilities"]
    assert given == ("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")


def test_a_domain_answers_at_both_base_paths() -> None:
    resources = deployed()["Resources"]
    keys = [
        resource["Properties"].get("ApiMappingKey", "")
        for resource in resources.values()
        if resource["Type"] == "AWS::ApiGatewayV2::ApiMapping"
    ]
    assert sorted(keys) == ["", "api/v1"]
    # Only such domains take a base path of several segments (API Gateway Developer Guide, "API mappings").
    domain = resources["Domain"]["Properties"]
    assert (domain["EndpointConfiguration"], domain["SecurityPolicy"]) == ({"Types": ["REGIONAL"]}, "TLS_1_2")
    for name in ("Domain", "DomainRoot", "DomainBasePath"):
        assert resources[name]["Condition"] == "WithDomain"


@pytest.mark.parametrize("name", ["Table", "KeyPepper"])
def test_what_cannot_be_made_again_outlives_the_stack(name: str) -> None:
    resource = deployed()["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_a_deployment_without_keys_of_models_leaves_the_secret_alone() -> None:
    """CloudFormation writes a SecretString again with every update of the secret, whatever was changed."""
    said = deployed()["Resources"]["ModelKeys"]["Properties"]
    assert said["SecretString"]["Fn::If"][0] == "WithModelKeys"
    assert said["SecretString"]["Fn::If"][2] == {"Ref": "AWS::NoValue"}
    assert said["GenerateSecretString"]["Fn::If"][1] == {"Ref": "AWS::NoValue"}
