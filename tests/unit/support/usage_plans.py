"""API Gateway's control plane on paper: keys, plans, and which key stands in which plan."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError


class ControlPlane:
    """Answers as boto3's client does; `asked` are the operations, in order."""

    def __init__(self) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.plans: dict[str, dict[str, Any]] = {}
        self.members: dict[str, str] = {}
        self.asked: list[str] = []
        self.fails: dict[str, str] = {}

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.asked.append(operation)
            if code := self.fails.get(operation):
                raise ClientError({"Error": {"Code": code, "Message": "no"}}, operation)
            return getattr(self, f"_{operation}")(**arguments)

        return call

    def plan_of(self, key_name: str) -> str | None:
        """The name of the plan that a key stands in."""
        (key,) = [key for key in self.keys.values() if key["name"] == key_name]
        plan = self.members.get(key["id"])
        return None if plan is None else str(self.plans[plan]["name"])

    def _get_api_keys(self, nameQuery: str, includeValues: bool, limit: int) -> Any:  # noqa: N803 - boto3's words
        return {"items": [key for key in self.keys.values() if key["name"].startswith(nameQuery)]}

    def _create_api_key(self, name: str, enabled: bool) -> Any:
        number = len(self.keys) + 1
        self.keys[f"k{number}"] = {"id": f"k{number}", "name": name, "value": f"value-of-key-number-{number:04d}"}
        return self.keys[f"k{number}"]

    def _get_usage_plan(self, usagePlanId: str) -> Any:  # noqa: N803
        return self.plans[usagePlanId]

    def _get_usage_plans(self, limit: int, keyId: str | None = None, position: str = "0") -> Any:  # noqa: N803
        found = [plan for plan in self.plans.values() if keyId is None or self.members.get(keyId) == plan["id"]]
        at = int(position)
        more = {"position": str(at + 2)} if at + 2 < len(found) else {}
        return {"items": found[at : at + 2]} | more

    def _create_usage_plan(self, name: str, throttle: Any, apiStages: Any) -> Any:  # noqa: N803
        plan = {"id": f"p{len(self.plans) + 1}", "name": name, "throttle": throttle, "apiStages": apiStages}
        self.plans[plan["id"]] = plan
        return plan

    def _update_usage_plan(self, usagePlanId: str, patchOperations: Any) -> Any:  # noqa: N803
        for change in patchOperations:
            if change["op"] == "remove":
                stages = self.plans[usagePlanId]["apiStages"]
                stages.remove(dict(zip(("apiId", "stage"), change["value"].split(":"), strict=True)))
                continue
            name = change["path"].removeprefix("/throttle/")
            self.plans[usagePlanId]["throttle"][name] = float(change["value"])

    def _create_usage_plan_key(self, usagePlanId: str, keyId: str, keyType: str) -> Any:  # noqa: N803
        assert keyId not in self.members, "a key stands in one plan of a stage"
        self.members[keyId] = usagePlanId

    def _delete_usage_plan_key(self, usagePlanId: str, keyId: str) -> Any:  # noqa: N803
        assert self.members.pop(keyId) == usagePlanId

    def _delete_usage_plan(self, usagePlanId: str) -> None:  # noqa: N803
        assert self.plans[usagePlanId]["apiStages"] == [], "a plan that counts a stage stays"
        del self.plans[usagePlanId]
        self.members = {key: plan for key, plan in self.members.items() if plan != usagePlanId}

    def _delete_api_key(self, apiKey: str) -> None:  # noqa: N803
        del self.keys[apiKey]
        self.members.pop(apiKey, None)
