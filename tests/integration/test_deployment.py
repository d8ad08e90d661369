"""`make deploy`: SAM itself builds a small template and deploys it to the emulator, as the wrapper tells it to."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.deploy import client as aws_client
from local.emulator import REGION
from local.runtime import ROOT, Runtime

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  EnvironmentName: { Type: String, Default: none }
  CorsOrigins: { Type: String, Default: "https://example.com" }
  Release: { Type: String, Default: none }
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties: { Tags: [{ Key: release, Value: !Ref Release }] }
Outputs:
  ApiUrl: { Value: !Sub "https://${EnvironmentName}.example.com" }
"""
CONFIG = """
version = 0.1
[default.global.parameters]
stack_name = "wrapped-dev"
[dev.global.parameters]
stack_name = "wrapped-dev"
[dev.deploy.parameters]
capabilities = "CAPABILITY_IAM"
confirm_changeset = false
resolve_s3 = true
parameter_overrides = ["EnvironmentName=dev", 'CorsOrigins=""']
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    (tmp_path / "samconfig.toml").write_text(CONFIG)
    return tmp_path


def deploy(project: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the wrapper to its end, in a shell that has nothing of ours but what is given."""
    shell = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(project), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "deployment", *arguments],
        cwd=project,
        env=shell | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def account(platform: Runtime) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": platform.emulator_url,
        "AWS_REGION": REGION,
    }


def test_an_environment_is_built_and_deployed_and_deployed_again(platform: Runtime, project: Path) -> None:
    first = deploy(project, "dev", **account(platform))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "https://dev.example.com" in first.stdout
    assert "python -m operations.first_tenant --stack wrapped-dev" in first.stdout
    assert "AlarmEmail" in first.stdout, "it says that nobody is told of alarms"
    cloudformation = aws_client("cloudformation", platform.emulator_url)

    def parameters() -> dict[str, str]:
        (stack,) = cloudformation.describe_stacks(StackName="wrapped-dev")["Stacks"]
        return {said["ParameterKey"]: said["ParameterValue"] for said in stack["Parameters"]}

    given = parameters()
    assert (given["EnvironmentName"], given["CorsOrigins"]) == ("dev", "")
    again = deploy(project, "dev", **account(platform))
    assert again.returncode == 0, again.stdout + again.stderr
    assert parameters()["Release"] != given["Release"], "each deployment is a release of its own"


def test_a_failed_deployment_fails_and_says_what_happens(platform: Runtime, project: Path) -> None:
    broken = TEMPLATE.replace("AWS::SQS::Queue", "AWS::SQS::NoSuchThing")
    (project / "template.yaml").write_text(broken)
    ended = deploy(project, "dev", **account(platform))
    assert ended.returncode == 1
    assert "docs/updates.md" in ended.stderr
    assert "first_tenant" not in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Say which environment: make deploy ENV=dev. There are: dev."),
        (("",), "Say which environment"),
        (("production",), "There is no environment 'production'. There are: dev;"),
        (("default",), "There is no environment 'default'"),
    ],
)
def test_an_unknown_environment_is_refused(project: Path, arguments: tuple[str, ...], said: str) -> None:
    ended = deploy(project, *arguments)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "Which region?"),
        ({"AWS_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}, "Unable to locate credentials"),
    ],
)
def test_who_has_no_credentials_is_told_before_anything_is_built(
    project: Path, variables: dict[str, str], said: str
) -> None:
    ended = deploy(project, "dev", **variables)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (project / ".aws-sam").exists()


def test_make_passes_the_environment_on() -> None:
    make = shutil.which("make")
    assert make is not None
    # Said only, not done: what stands in .venv is none of this test's business.
    said = [make, "--dry-run", "--old-file=.venv/.ready", "deploy", "ENV=prod"]
    # As from a shell: a make around the tests would pass its own flags on.
    apart = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    shown = subprocess.run(said, cwd=ROOT, env=apart, capture_output=True, text=True, check=True).stdout
    assert shown.strip().splitlines()[-1] == '.venv/bin/python -m deployment "prod"'
