"""A deployed stack: what is in it, and the settings by which `shared` works on it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import ClientError

from operations.command import Refused
from shared import config

_FROM_PARAMETERS = {
    "ACCESS_TOKEN_EXPIRE_MINUTES": "AccessTokenExpireMinutes",
    "AUDIT_RETENTION_DAYS": "AuditRetentionDays",
    "AUTHORIZER_CACHE_SECONDS": "AuthorizerCacheSeconds",
    "ENVIRONMENT": "EnvironmentName",
    "JWT_ALGORITHM": "JwtAlgorithm",
}
_FROM_RESOURCES = {
    "API_KEY_PEPPER_SECRET": "KeyPepper",
    "JWT_SECRET_SECRET": "JwtSecret",
    "PLAN_FREE": "FreePlan",
    "PLAN_STANDARD": "StandardPlan",
    "PLAN_UNLIMITED": "UnlimitedPlan",
    "RUN_BACKGROUND_MACHINE": "RunBackground",
    "RUN_SYNC_MACHINE": "RunSync",
    "TABLE_NAME": "Table",
    "UPLOADS_BUCKET": "UploadsBucket",
}
# Of another platform, if the operator's shell has them: what counts is what the stack's own secrets hold.
_SECRETS = ("API_KEY_PEPPER", "API_KEY_PEPPER_PREVIOUS", "AUTH_API_KEYS", "JWT_SECRET", "JWT_SECRET_PREVIOUS")


@dataclass(frozen=True, slots=True)
class Stack:
    """A deployed stack.

    Attributes:
        resources: the names by which AWS knows them (a queue's address, a secret's ARN), by their names in the
            template. parameters, outputs: as CloudFormation shows them; secret parameters are stars.
    """

    name: str
    region: str
    resources: Mapping[str, str]
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]


def opened(name: str, region: str | None) -> Stack:
    """Look a stack up, and make `shared` of this process work on it: all of its settings are the stack's.

    Raises:
        Refused: there is no such stack, or no region is named.
    """
    session = boto3.Session(region_name=region)
    if session.region_name is None:
        raise Refused("Which region? Say --region, or set AWS_REGION.")
    # The clients of `shared` are made by the process's own settings.
    os.environ["AWS_REGION"] = os.environ["AWS_DEFAULT_REGION"] = session.region_name
    cloudformation = session.client("cloudformation")
    try:
        (described,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise Refused(f"There is no stack {name} in {session.region_name}.") from error
        raise
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
    resources = {
        found["LogicalResourceId"]: found["PhysicalResourceId"]
        for page in pages
        for found in page["StackResourceSummaries"]
        if "PhysicalResourceId" in found
    }
    stack = Stack(
        name=name,
        region=session.region_name,
        resources=resources,
        parameters=_pairs(described.get("Parameters", []), "Parameter"),
        outputs=_pairs(described.get("Outputs", []), "Output"),
    )
    if missing := sorted(set(_FROM_RESOURCES.values()) - resources.keys()):
        raise Refused(f"{name} is no stack of this platform: it has no {', '.join(missing)}.")
    for name in _SECRETS:
        os.environ.pop(name, None)
    os.environ.update(settings_of(stack))
    config.settings.cache_clear()
    return stack


def settings_of(stack: Stack) -> dict[str, str]:
    """The environment variables of a stack's functions, as far as commands need them."""
    return {
        **{name: stack.parameters[parameter] for name, parameter in _FROM_PARAMETERS.items()},
        **{name: stack.resources[resource] for name, resource in _FROM_RESOURCES.items()},
        "GATEWAY_NAME": stack.name,
        "GATEWAY_STAGE": f"{stack.resources['Api']}:live",
    }


def _pairs(described: Any, kind: str) -> dict[str, str]:
    return {one[f"{kind}Key"]: one[f"{kind}Value"] for one in described}
