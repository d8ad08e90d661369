"""Deploys the template to the emulator through CloudFormation, then mends what the emulator drops."""

import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from local import roles, stack, template
from local.emulator import REGION
from local.errors import LocalError
from local.settings import PARAMETERS

STACK_NAME = "agent-platform"

_BUCKET = "local-templates"
_NEVER_EXISTED = ("CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS")
_UNCHANGED = ("didn't contain changes", "No updates")
_POLL_SECONDS = 0.02
_WAIT_SECONDS = 120.0


@cache
def _session() -> boto3.Session:
    # The default session is for the functions, whose calls are checked.
    return boto3.Session()


def client(service: str, url: str) -> Any:
    """A boto3 client of the emulator."""
    return _session().client(
        service,  # type: ignore[call-overload]
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator's root, not a secret
        # One host, whatever the operation: else StartSyncExecution is sent to sync-127.0.0.1.
        config=Config(inject_host_prefix=False, retries={"total_max_attempts": 1}),
    )


def deploy(path: Path, url: str, settings: Mapping[str, str]) -> stack.Stack:
    """Create the stack, or bring it up to date, and say what is in it."""
    written = template.load(path)
    code = template.code_of(written, path.parent)
    cloudformation = client("cloudformation", url)
    body = json.dumps(template.for_emulator(written, path.parent))
    parameters = _parameters(written, settings)
    try:
        _apply(cloudformation, _upload(url, body), parameters)
    except ClientError as error:
        raise LocalError(f"CloudFormation refused the template: {error.response['Error'].get('Message')}") from error
    processed = cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    resources = {
        resource["LogicalResourceId"]: resource["PhysicalResourceId"]
        for resource in cloudformation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]
    }
    _switch_on_expiry(url, processed, resources)
    _mend_event_sources(url)
    return stack.Stack(
        name=STACK_NAME,
        functions=_functions(url, code, processed, resources),
        machines={
            logical_id: resources[logical_id]
            for logical_id, resource in processed["Resources"].items()
            if resource["Type"] == "AWS::StepFunctions::StateMachine"
        },
        api=stack.read_api(processed, resources, parameters),
        resources=resources,
    )


def _upload(url: str, body: str) -> str:
    """The template's address: too large to be sent along with the call."""
    s3 = client("s3", url)
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_object(Bucket=_BUCKET, Key="template.json", Body=body.encode())
    return f"{url}/{_BUCKET}/template.json"


def _parameters(written: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, str]:
    declared = written.get("Parameters", {})
    values = {"EnvironmentName": "local"}
    values |= {parameter: settings[name] for name, parameter in PARAMETERS.items() if name in settings}
    return {key: value for key, value in values.items() if key in declared}


def _apply(cloudformation: Any, template_url: str, parameters: Mapping[str, str]) -> None:
    status = _status(cloudformation)
    if status in _NEVER_EXISTED:
        cloudformation.delete_stack(StackName=STACK_NAME)
        _until(lambda: _status(cloudformation) is None, "the failed stack to go")
        status = None
    change = cloudformation.create_change_set(
        StackName=STACK_NAME,
        ChangeSetName=f"local-{time.time_ns()}",
        ChangeSetType="UPDATE" if status else "CREATE",
        TemplateURL=template_url,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )["Id"]

    def described() -> Any:
        return cloudformation.describe_change_set(StackName=STACK_NAME, ChangeSetName=change)

    _until(lambda: not described()["Status"].endswith(("PENDING", "IN_PROGRESS")), "the change set")
    result = described()
    if result["Status"] == "FAILED":
        reason = result.get("StatusReason", "")
        if any(words in reason for words in _UNCHANGED):
            return
        raise LocalError(f"CloudFormation refused the template: {reason}")
    cloudformation.execute_change_set(StackName=STACK_NAME, ChangeSetName=change)
    # Executing is asynchronous: the old state may still be shown for a moment.
    _until(lambda: described()["ExecutionStatus"] not in ("AVAILABLE", "EXECUTE_IN_PROGRESS"), "the deployment")
    _until(lambda: not (_status(cloudformation) or "").endswith("IN_PROGRESS"), "the deployment")
    if _status(cloudformation) not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise LocalError(f"CloudFormation could not deploy the template: {first_failure(cloudformation)}")


def _status(cloudformation: Any) -> str | None:
    try:
        return str(cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]["StackStatus"])
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise


def first_failure(cloudformation: Any) -> str:
    """The failure that caused the others; events come newest first."""
    reason = "no reason given"
    for event in cloudformation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]:
        if event["ResourceStatus"].endswith("_FAILED"):
            reason = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', reason)}"
    return reason


def _until(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise LocalError(f"waited {_WAIT_SECONDS:.0f} s for {what}")
        time.sleep(_POLL_SECONDS)


def _switch_on_expiry(url: str, processed: Mapping[str, Any], resources: Mapping[str, str]) -> None:
    """The emulator's CloudFormation drops a table's TimeToLiveSpecification without a word."""
    for logical_id, resource in processed["Resources"].items():
        wanted = resource.get("Properties", {}).get("TimeToLiveSpecification")
        if resource["Type"] == "AWS::DynamoDB::Table" and wanted:
            dynamodb = client("dynamodb", url)
            table = resources[logical_id]
            found = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            if found.get("AttributeName") != wanted["AttributeName"]:
                dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted)


def _mend_event_sources(url: str) -> None:
    """A number that is a parameter is a text in the emulator, which then reads no queue. It is shown as a number."""
    functions = client("lambda", url)
    for source in functions.list_event_source_mappings()["EventSourceMappings"]:
        scaling = source.get("ScalingConfig") or {}
        if "MaximumConcurrency" in scaling:
            limit = {"MaximumConcurrency": int(scaling["MaximumConcurrency"])}
            functions.update_event_source_mapping(UUID=source["UUID"], ScalingConfig=limit)


def _functions(
    url: str, code: Mapping[str, tuple[Path, str]], processed: Mapping[str, Any], resources: Mapping[str, str]
) -> dict[str, stack.Function]:
    pages = client("lambda", url).get_paginator("list_functions").paginate()
    deployed = {found["FunctionName"]: found for page in pages for found in page["Functions"]}
    named = {logical_id: deployed[resources[logical_id]]["Role"].rpartition("/")[2] for logical_id in code}
    allowed = roles.read(client("iam", url), processed, resources, named)
    functions = {}
    for logical_id, (source, handler) in code.items():
        found = deployed[resources[logical_id]]
        functions[logical_id] = stack.Function(
            logical_id=logical_id,
            name=found["FunctionName"],
            source=source,
            handler=handler,
            timeout=found["Timeout"],
            environment=found.get("Environment", {}).get("Variables", {}),
            role=allowed[logical_id],
        )
    return functions
