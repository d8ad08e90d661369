"""The real template in the emulator with IAM enforced: deployed by `sam deploy`, called through Lambda."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local import deploy, template
from local.emulator import REGION, Emulator
from tests.deploy import building, emulator_child, lambdas_python

STACK = deploy.STACK_NAME


@dataclass(frozen=True)
class Answer:
    """What Lambda gave back; `error` is the kind of failure, and then `payload` tells it."""

    payload: Any
    error: str | None


class Deployed:
    """The stack.

    Attributes:
        url: the emulator.
        python: the interpreter that sees what Lambda's own sees.
        resources: physical ids by logical ids.
        processed: the template as CloudFormation has it, expanded by SAM.
        called: the functions that have succeeded under their own role.
    """

    def __init__(self, url: str, python: Path, refusals: Path) -> None:
        self.url, self.python, self._refusals = url, python, refusals
        self.called: set[str] = set()
        self.client = cache(lambda service: deploy.client(service, url))
        stack = self.client("cloudformation")
        described = stack.describe_stack_resources(StackName=STACK)["StackResources"]
        self.resources: dict[str, str] = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in described}
        self.processed: dict[str, Any] = stack.get_template(StackName=STACK, TemplateStage="Processed")["TemplateBody"]

    def invoke(self, logical_id: str, event: Any) -> Answer:
        """Call a function, under its own role, and wait for it."""
        answer = self.client("lambda").invoke(FunctionName=self.resources[logical_id], Payload=json.dumps(event))
        return Answer(json.loads(answer["Payload"].read() or b"null"), answer.get("FunctionError"))

    def refusals(self) -> list[dict[str, str]]:
        """What IAM refused so far: who, which action, on which resource."""
        lines = self._refusals.read_text().splitlines() if self._refusals.exists() else []
        return [json.loads(line) for line in lines]

    def release(self, logical_id: str) -> None:
        """End the processes of a function: each holds some 60 MB."""
        self.client("lambda").update_function_configuration(
            FunctionName=self.resources[logical_id], Description="called already"
        )


@contextmanager
def deployed(
    built: Path, folder: Path, port: int, values: Mapping[str, str], outside: str, say: Callable[[str], None]
) -> Iterator[Deployed]:
    """Start an emulator, deploy the built template to it with these parameters, and stop it in the end.

    Args:
        outside: the address of the model and the tool, which is private and so must be allowed by name.
    """
    refusals, workers, python = folder / "refusals", folder / "workers", lambdas_python.make(folder / "python")
    workers.mkdir()
    own = {
        "AUTH": "true",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "TMPDIR": str(workers),
        "SFN_WAIT_SCALE": "0",
        "TOOL_PRIVATE_HOSTS": outside.removeprefix("http://"),
        emulator_child.PYTHON: str(python),
        emulator_child.REFUSALS: str(refusals),
        emulator_child.LAYERS: str(folder / "layers"),
    }
    emulator = Emulator(folder, folder / "emulator.log", port, 60.0, emulator_child.__name__, own)
    emulator.start()
    try:
        emulator.wait_until_ready()
        _sam_deploy(built, folder, emulator.url, building.parameters() | dict(values), say)
        stack = Deployed(emulator.url, python, refusals)
        _mend(stack)
        yield stack
    finally:
        emulator.stop()
        shutil.rmtree(workers, ignore_errors=True)


def _sam_deploy(built: Path, folder: Path, url: str, values: Mapping[str, str], say: Callable[[str], None]) -> None:
    say("sam deploy")
    edited = built / "emulated.json"
    edited.write_text(json.dumps(for_deployment(template.load(built / "template.yaml"))))
    # In a file, for a value may be JSON, or no business of the list of processes.
    lines = [f"  {json.dumps(f'{name}={json.dumps(value)}')},\n" for name, value in values.items()]
    settings = folder / "samconfig.toml"
    settings.write_text(f"version = 0.1\n[default.deploy.parameters]\nparameter_overrides = [\n{''.join(lines)}]\n")
    command = ["deploy", "--config-file", str(settings), "--template-file", str(edited), "--stack-name", STACK]
    command += ["--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset", "--no-progressbar"]
    try:
        building.sam([*command, "--region", REGION], {"AWS_ENDPOINT_URL": url})
    except AssertionError as failed:
        raise AssertionError(deploy.first_failure(deploy.client("cloudformation", url))) from failed


def for_deployment(written: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the built template with the least edits that the emulator needs."""
    edited = template.without_the_unknown(written)
    resources = edited["Resources"]
    secrets = {name for name, resource in resources.items() if resource["Type"] == "AWS::SecretsManager::Secret"}
    for resource in resources.values():
        properties = resource.get("Properties", {})
        _grant_by_arn(properties, secrets)
        if resource["Type"] == "AWS::Serverless::Function" and "Layers" in properties:
            # Layers of other accounts, such as Lambda Web Adapter, are out of reach.
            properties["Layers"] = [layer for layer in properties["Layers"] if "Ref" in layer]
    return edited


def _grant_by_arn(node: Any, secrets: Set[str]) -> None:
    """Name secrets by ARN in all policies: Ref is that for AWS, but a secret's name here, which no policy matches."""
    if isinstance(node, list):
        for one in node:
            _grant_by_arn(one, secrets)
    elif isinstance(node, dict):
        if "Effect" in node and "Resource" in node:
            several = isinstance(node["Resource"], list)
            named = node["Resource"] if several else [node["Resource"]]
            arns = [{"Fn::GetAtt": [one["Ref"], "Id"]} if one in _references(secrets) else one for one in named]
            node["Resource"] = arns if several else arns[0]
        for one in node.values():
            _grant_by_arn(one, secrets)


def _references(names: Set[str]) -> list[dict[str, str]]:
    return [{"Ref": name} for name in names]


def _mend(stack: Deployed) -> None:
    """What the emulator's CloudFormation drops or cannot say."""
    client = stack.client("lambda")
    for mapping in client.list_event_source_mappings()["EventSourceMappings"]:
        # Each reader is called with its own event; records of other functions' work would run into it.
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    for logical_id, resource in stack.processed["Resources"].items():
        boundary = resource.get("Properties", {}).get("PermissionsBoundary")
        if resource["Type"] == "AWS::IAM::Role" and boundary:
            arn = stack.resources[boundary["Ref"]]
            stack.client("iam").put_role_permissions_boundary(
                RoleName=stack.resources[logical_id], PermissionsBoundary=arn
            )
