"""`python -m deployment ENV`: build, deploy, and say where the platform is and how its first tenant is made."""

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from deployment.environments import Environment, Misconfigured, environments

_USAGE = "Say which environment: make deploy ENV={}."


class Refused(Exception):
    """It is not deployed, and this is why, in a sentence for the operator."""


def main(arguments: Sequence[str], root: Path) -> int:
    """Deploy the environment that the arguments name; the exit status.

    Args:
        root: the folder of samconfig.toml and template.yaml.
    """
    try:
        environment = _named(arguments, environments(root))
        region = _where(environment)
        _deploy(environment, region, root)
        _tell(environment, region)
    except (Refused, Misconfigured) as refused:
        print(refused, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. What CloudFormation has begun it ends by itself.", file=sys.stderr)
        return 1
    return 0


def _named(arguments: Sequence[str], known: dict[str, Environment]) -> Environment:
    names = ", ".join(known)
    if len(arguments) != 1 or not arguments[0]:
        raise Refused(f"{_USAGE.format(next(iter(known), 'dev'))} There are: {names}.")
    if arguments[0] not in known:
        raise Refused(f"There is no environment {arguments[0]!r}. There are: {names}; samconfig.toml describes them.")
    return known[arguments[0]]


def _where(environment: Environment) -> str:
    """The region; and whose account, asked before anything is built.

    Raises:
        Refused: no region is named, or AWS does not know who asks.
    """
    # The other AWS tools read AWS_REGION as well.
    session = boto3.Session(region_name=environment.region or os.environ.get("AWS_REGION"))
    if session.region_name is None:
        raise Refused("Which region? Set AWS_REGION, or region for the environment in samconfig.toml.")
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (ClientError, BotoCoreError) as error:
        raise Refused(f"AWS does not know who you are: {error}\nTry: aws sts get-caller-identity") from error
    print(f"==> {environment.stack} in account {account}, {session.region_name}", flush=True)
    return session.region_name


def _deploy(environment: Environment, region: str, root: Path) -> None:
    """Build and deploy by SAM, whose progress is shown as it comes.

    Raises:
        Refused: one of them failed and has said why.
    """
    release = _release(root)
    overrides = ["--parameter-overrides", *environment.overrides(Release=release)]
    print(f"==> Building release {release}", flush=True)
    _sam(["build", "--config-env", environment.name, *overrides], environment, root, "It could not be built.")
    print(f"==> Deploying with: {', '.join(environment.overrides())}", flush=True)
    _sam(
        ["deploy", "--config-env", environment.name, "--region", region, "--no-fail-on-empty-changeset", *overrides],
        environment,
        root,
        "It was not deployed: CloudFormation takes a failed update back by itself. See docs/updates.md.",
    )


def _sam(arguments: Sequence[str], environment: Environment, root: Path, otherwise: str) -> None:
    # SAM and the python and pip of its builds are those beside this one.
    beside = Path(sys.executable).parent
    sam = shutil.which("sam", path=str(beside)) or "sam"
    variables = {**os.environ, **environment.build_variables, "SAM_CLI_TELEMETRY": "0"}
    variables["PATH"] = os.pathsep.join([str(beside), os.environ.get("PATH", os.defpath)])
    if subprocess.run([sam, *arguments], cwd=root, env=variables, check=False).returncode != 0:
        raise Refused(otherwise)


def _release(root: Path) -> str:
    """A new name each time: by it new versions are published, and the logs can tell releases apart."""
    moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    asked = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    return f"{moment}-{asked.stdout.strip() or 'unknown'}"


def _tell(environment: Environment, region: str) -> None:
    cloudformation = boto3.client("cloudformation", region_name=region)
    stack = cloudformation.describe_stacks(StackName=environment.stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    print(f"\n  {outputs['ApiUrl']}\n")
    if target := outputs.get("DomainTarget"):
        print(f"Its domain leads to {target}; without a HostedZoneId, make that record yourself.\n")
    print("The first tenant and its admin key, once:\n")
    elsewhere = f" --region {region}" if region != boto3.Session().region_name else ""
    print(f"  .venv/bin/python -m operations.first_tenant --stack {environment.stack}{elsewhere}\n")
    if not environment.parameters.get("AlarmEmail"):
        print("Nobody is told of alarms: name an AlarmEmail in samconfig.toml.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path.cwd()))
