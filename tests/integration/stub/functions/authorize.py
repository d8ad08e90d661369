"""A REQUEST authorizer over the boot keys, with one key for each way it can end."""

import json
import os
from typing import Any


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    key = event["headers"].get("x-api-key", "")
    if key == "crash":
        raise RuntimeError("the authorizer is broken")
    caller = json.loads(os.environ["AUTH_API_KEYS"]).get("tenant_a" if key == "denied" else key)
    if caller is None:
        raise PermissionError("Unauthorized")
    effect = "Deny" if key == "denied" else "Allow"
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*/live/*"}
    return {
        "principalId": caller["user_id"],
        "context": {"tenant_id": caller["tenant_id"], "level": 7, "known": True},
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
    }
