"""API Gateway's control plane: the keys and plans by which it counts tenants.

Everything here can be repeated: what is to be made is looked for first, and told apart by its name.
"""

import os
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from shared.clients import aws

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Wall:
    """How wide a plan lets requests through: so many a second, and so many at once."""

    rate: float
    burst: int


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A key of the gateway; `value` is what the authorizer names."""

    id: str
    value: str


class OutOfPlans(Exception):
    """The account has as many plans or keys as it may have."""


def tier(plan: str) -> str:
    """The id of the plan that the template makes for a tier."""
    return os.environ[f"PLAN_{plan.upper()}"]


def wall_of(plan_id: str) -> Wall:
    """How wide a plan is; 1 request."""
    throttle = aws.apigateway().get_usage_plan(usagePlanId=plan_id)["throttle"]
    return Wall(float(throttle["rateLimit"]), int(throttle["burstLimit"]))


def key_for(tenant_id: str) -> GatewayKey:
    """The tenant's key, made if there is none; 1 request, 2 the first time.

    Raises:
        OutOfPlans: there is no room for another key.
    """
    key = _key(tenant_id, values=True) or _asked("create_api_key", name=_name(tenant_id), enabled=True)
    return GatewayKey(key["id"], key["value"])


def plan_for(tenant_id: str, wall: Wall) -> str:
    """The id of the tenant's own plan, made or changed as wanted; 1 request for 500 plans, and 1 more.

    Raises:
        OutOfPlans: there is no room for another plan.
    """
    throttle = {"rateLimit": wall.rate, "burstLimit": wall.burst}
    plan = _plan(tenant_id)
    if plan is None:
        api_id, _, stage = os.environ["GATEWAY_STAGE"].partition(":")
        stages = [{"apiId": api_id, "stage": stage}]
        plan = _asked("create_usage_plan", name=_name(tenant_id), throttle=throttle, apiStages=stages)
    elif plan.get("throttle") != throttle:
        changes = [
            {"op": "replace", "path": f"/throttle/{limit}", "value": str(value)} for limit, value in throttle.items()
        ]
        _asked("update_usage_plan", usagePlanId=plan["id"], patchOperations=changes)
    return str(plan["id"])


def move(key: GatewayKey, plan_id: str) -> None:
    """Count a key in this plan and in no other; 1 request, 3 if it was in another.

    A key stands in one plan of a stage, so for a moment it is in none, and the gateway asks its tenant to try again.
    """
    within = {str(plan["id"]) for plan in _all("get_usage_plans", keyId=key.id)}
    for other in within - {plan_id}:
        _asked("delete_usage_plan_key", usagePlanId=other, keyId=key.id)
    if plan_id not in within:
        _asked("create_usage_plan_key", usagePlanId=plan_id, keyId=key.id, keyType="API_KEY")


def drop_plan(tenant_id: str) -> bool:
    """Remove the tenant's own plan, if there is one; 1 request for 500 plans, and 2 more."""
    plan = _plan(tenant_id)
    if plan is None:
        return False
    # A plan that counts a stage cannot be deleted (Amazon API Gateway API Reference, "DeleteUsagePlan").
    counted = [f"{stage['apiId']}:{stage['stage']}" for stage in plan.get("apiStages", [])]
    changes = [{"op": "remove", "path": "/apiStages", "value": stage} for stage in counted]
    if changes:
        _asked("update_usage_plan", usagePlanId=plan["id"], patchOperations=changes)
    _asked("delete_usage_plan", usagePlanId=plan["id"])
    return True


def drop_key(tenant_id: str) -> bool:
    """Remove the tenant's key, if there is one, and so from its plan; 2 requests."""
    key = _key(tenant_id, values=False)
    if key is None:
        return False
    _asked("delete_api_key", apiKey=key["id"])
    return True


def _key(tenant_id: str, *, values: bool) -> dict[str, Any] | None:
    """The tenant's key, with its value or without."""
    # The query is a prefix: other tenants' names may begin alike.
    return _named(tenant_id, _all("get_api_keys", nameQuery=_name(tenant_id), includeValues=values))


def _plan(tenant_id: str) -> dict[str, Any] | None:
    """The tenant's own plan."""
    return _named(tenant_id, _all("get_usage_plans"))


def _named(tenant_id: str, found: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((one for one in found if one.get("name") == _name(tenant_id)), None)


def _name(tenant_id: str) -> str:
    return f"{os.environ['GATEWAY_NAME']}:tenant:{tenant_id}"


def _all(operation: str, **arguments: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    position: dict[str, str] = {}
    while True:
        answer = _asked(operation, **arguments, **position, limit=_PAGE)
        found += answer.get("items", [])
        if not answer.get("position"):
            return found
        position = {"position": answer["position"]}


def _asked(operation: str, **arguments: Any) -> Any:
    try:
        return getattr(aws.apigateway(), operation)(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "LimitExceededException":
            raise OutOfPlans(operation) from error
        raise
