"""The roles of the deployed functions, with every resource in them resolved by CloudFormation."""

import re
from collections.abc import Mapping
from typing import Any

from local.errors import LocalError
from local.permissions import Grant, Role, grants_of

# The names that SAM gives to the policies that stand in a template; those it adds are called otherwise.
_OURS = re.compile(r"RolePolicy\d+$")


def read(
    iam: Any, processed: Mapping[str, Any], resources: Mapping[str, str], functions: Mapping[str, str]
) -> dict[str, Role]:
    """The roles of functions, by the logical ids of these.

    What AWS's own managed policies grant is left out, and what SAM adds for event sources: logs, traces, the polling of
    sources and the parking of what failed are asked for by Lambda and not by a handler.

    Args:
        iam: a client.
        processed: the template as CloudFormation has expanded it; the emulator forgets which roles have boundaries.
        functions: the names of their roles.
    """
    pages = list(iam.get_paginator("get_account_authorization_details").paginate(Filter=["Role", "LocalManagedPolicy"]))
    managed = {policy["Arn"]: policy for page in pages for policy in page["Policies"]}
    boundaries = _boundaries(processed, resources)
    details = {role["RoleName"]: role for page in pages for role in page["RoleDetailList"]}
    found: dict[str, Role] = {}
    for function, name in functions.items():
        role = details[name]
        documents = [one["PolicyDocument"] for one in role["RolePolicyList"] if _OURS.search(one["PolicyName"])]
        documents += [
            _document(managed[policy["PolicyArn"]])
            for policy in role["AttachedManagedPolicies"]
            if policy["PolicyArn"] in managed
        ]
        boundary = boundaries.get(name)
        found[function] = Role(
            name=name,
            grants=_grants(name, documents),
            boundary=_grants(name, [_document(managed[boundary])]) if boundary else None,
        )
    return found


def _boundaries(processed: Mapping[str, Any], resources: Mapping[str, str]) -> dict[str, str]:
    boundaries = {}
    for logical_id, resource in processed["Resources"].items():
        said = resource.get("Properties", {}).get("PermissionsBoundary")
        if resource["Type"] == "AWS::IAM::Role" and said:
            boundaries[resources[logical_id]] = resources[said["Ref"]] if isinstance(said, Mapping) else str(said)
    return boundaries


def _document(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    (current,) = [version for version in policy["PolicyVersionList"] if version["IsDefaultVersion"]]
    document: Mapping[str, Any] = current["Document"]
    return document


def _grants(role: str, documents: list[Mapping[str, Any]]) -> tuple[Grant, ...]:
    try:
        return tuple(grant for document in documents for grant in grants_of(document["Statement"]))
    except ValueError as error:
        raise LocalError(f"the role {role}: {error}") from error
