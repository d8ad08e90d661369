"""Laws of permissions: named one by one, within the boundary, and exactly for what a function is given to work with."""

import re
from typing import Any

import pytest

from local.permissions import Grant, Need, listed
from tests.house.policies import boundary, policies, spelled
from tests.house.repository import ROOT, deployed, functions, resources

# What the Service Authorization Reference names no resource for, or Lambda checks without naming one.
_WITHOUT_RESOURCE = {
    "dynamodb:ListStreams",
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
# What has no name before it is made, and all that is known of it then.
_OPEN_ENDED = re.compile(
    r":execution:[^*]+:\*|::/usageplans/\*|:function:\$\{AWS::StackName\}-(?:AgentRun\w+|CodeRunnerRun)-(?:\*|#:\*)"
    r"|\$\{UploadsBucket\.Arn\}/(?:builds|stops|uploads)/\*"
    r"|:log-group:/aws/lambda/\$\{AWS::StackName\}/\*"
)
# Types of resources whose address a function is told in its environment.
_TOLD = {"AWS::SecretsManager::Secret", "AWS::S3::Bucket", "AWS::Serverless::StateMachine", "AWS::SQS::Queue"}
POLICIES = policies()
BOUNDARY = boundary()


@pytest.mark.parametrize("name", [*POLICIES, "Boundary"])
def test_resources_are_as_narrow_as_aws_allows(name: str) -> None:
    for grant in POLICIES.get(name, BOUNDARY):
        if grant.resource == "*":
            assert grant.action in _WITHOUT_RESOURCE, f"{name}: {grant.action} takes a resource: name it"
        elif "*" in grant.resource:
            assert _OPEN_ENDED.search(grant.resource), f"{name}: {grant.action} on {grant.resource} can be narrower"


def test_every_wildcard_has_a_comment() -> None:
    lines = (ROOT / "template.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if not re.search(r"""(?:Resource: ["']\*["'])|(?:Sub ["']arn:[^"']*\*["'])""", line):
            continue
        first = number
        while not re.match(r"\s+- (?:\{ )?(?:Effect|Action|Sid):", lines[first]):
            first -= 1
        if any("Principal:" in text for text in lines[first:number]):
            # The policy of a resource, in which * is that resource.
            continue
        said = [text for text in lines[first - 1 : number + 1] if text.lstrip().startswith("#")]
        assert said, f"template.yaml, line {number + 1}: say in a comment why AWS has nothing finer"


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_lies_within_the_boundary(name: str) -> None:
    for grant in POLICIES[name]:
        need = Need(grant.action, grant.resource)
        assert any(one.covers(need) for one in BOUNDARY), (
            f"{name}: the Boundary lacks {grant.action} on {grant.resource}"
        )


def test_every_role_has_the_boundary() -> None:
    wanted = {"Ref": "Boundary"}
    assert deployed()["Globals"]["Function"]["PermissionsBoundary"] == wanted
    others = [name for name, one in resources("AWS::Serverless::Function").items() if "PermissionsBoundary" in one]
    assert not others, f"Globals say it for all: {others}"
    for name, machine in resources("AWS::Serverless::StateMachine").items():
        assert machine.get("PermissionsBoundary") == wanted, f"{name} has no boundary"


def test_the_boundary_holds_nothing_that_nobody_is_granted() -> None:
    """But for what AWS's own policies grant: logs, traces, networks, and the reading of event sources."""
    asked_by_lambda = re.compile(
        r"logs:|xray:|dynamodb:(?:DescribeStream|GetRecords|GetShardIterator|ListStreams)$"
        r"|ec2:(?:(?:Create|Delete)NetworkInterface|Describe(?:NetworkInterfaces|Subnets)|(?:Una|A)ssignPrivateIpAddresses)$"
        r"|sqs:(?:DeleteMessage|GetQueueAttributes|ReceiveMessage)$"
    )
    granted = {Need(grant.action, grant.resource) for grants in POLICIES.values() for grant in grants}
    idle = [
        grant
        for grant in BOUNDARY
        if not asked_by_lambda.match(grant.action) and not any(grant.covers(need) for need in granted)
    ]
    assert not idle, f"take them out of the Boundary: {idle}"


def test_networks_are_for_lambda_and_not_for_the_code_of_a_function() -> None:
    document = deployed()["Resources"]["Boundary"]["Properties"]["PolicyDocument"]
    for statement in document["Statement"]:
        if any(action.startswith("ec2:") for action in listed(statement["Action"])):
            assert statement["Condition"] == {"Null": {"lambda:SourceFunctionArn": "true"}}
    asking = [name for name, grants in POLICIES.items() if any(grant.action.startswith("ec2:") for grant in grants)]
    assert not asking, f"AWS's own policy, which SAM adds to a function in a network, grants it: {asking}"


def test_the_code_of_strangers_is_granted_nothing() -> None:
    assert POLICIES["CodeRunnerRun"] == []


@pytest.mark.parametrize("name", [function.logical_id for function in functions()])
def test_a_function_may_use_exactly_what_its_environment_names(name: str) -> None:
    properties = resources("AWS::Serverless::Function")[name]
    told = {_address(value) for value in properties.get("Environment", {}).get("Variables", {}).values()} - {None}
    assert {_used(grant) for grant in POLICIES[name]} - {None} == told, (
        f"{name}: secrets, queues and machines in its environment are those that its policy names"
    )


def _address(value: Any) -> str | None:
    """The secret, machine, queue or bucket that a variable names."""
    match value:
        case {"Ref": str(name)}:
            # Step Functions checks a call of an alias on the machine itself (Developer Guide, "Authorization for
            # versions and aliases").
            named = re.sub(r"Alias[a-z]+$", "", name)
            return named if deployed()["Resources"].get(named, {}).get("Type") in _TOLD else None
    return None


def _used(grant: Grant) -> str | None:
    """The secret, machine, queue or bucket that a grant is for."""
    for name, resource in deployed()["Resources"].items():
        if resource["Type"] == "AWS::Serverless::StateMachine":
            own = spelled({"Ref": name})
            if grant.resource in (own, own.replace(":stateMachine:", ":execution:") + ":*"):
                return str(name)
        elif resource["Type"] in _TOLD and re.match(rf"\$\{{{name}(\.Arn)?\}}(/|$)", grant.resource):
            return str(name)
    return None


def test_a_machine_is_stopped_only_by_who_may_start_it() -> None:
    for name, grants in POLICIES.items():
        starts = {_used(grant) for grant in grants if grant.action.startswith("states:Start")}
        stops = {_used(grant) for grant in grants if grant.action == "states:StopExecution"}
        assert stops <= starts, f"{name}: {sorted(map(str, stops - starts))}"


def test_a_synchronous_start_is_of_an_express_machine() -> None:
    machines = resources("AWS::Serverless::StateMachine")
    for name, grants in POLICIES.items():
        for grant in grants:
            if grant.action == "states:StartSyncExecution":
                machine = _used(grant)
                assert machine is not None
                assert machines[machine]["Type"] == "EXPRESS", f"{name}: a STANDARD machine cannot be waited for"


def test_statements_say_only_what_is_checked_here() -> None:
    for name, resource in deployed()["Resources"].items():
        for policy in listed(resource["Properties"].get("Policies", [])):
            assert isinstance(policy, dict), f"{name}: write the statement out instead of naming {policy}"
            for statement in policy["Statement"]:
                assert statement.keys() == {"Effect", "Action", "Resource"}, f"{name}: {sorted(statement)}"
                assert statement["Effect"] == "Allow", f"{name}: nothing is allowed that would have to be denied"
