"""API Gateway's REQUEST authorizer: what comes in, what goes out.

Source: Amazon API Gateway Developer Guide, "Input to and output from an API Gateway Lambda authorizer".
"""

from typing import Any

from shared.domain.api_keys import Identity
from shared.domain.tenants import Standing


def credentials(event: dict[str, Any]) -> str | None:
    """The key in the `X-API-Key` header."""
    for name, value in (event.get("headers") or {}).items():
        if name.lower() == "x-api-key":
            return str(value)
    return None


def policy(method_arn: str, identity: Identity, standing: Standing) -> dict[str, Any]:
    """Leave to call any method of the stage, and who calls. Context values are strings, as the gateway asks."""
    api, stage = method_arn.split("/")[:2]
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": identity.user_id,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {
            "tenant_id": identity.tenant_id,
            "user_id": identity.user_id,
            "role": identity.role,
            "scopes": " ".join(sorted(identity.scopes)),
            "key_id": identity.key_id,
            "limits": standing.limits.model_dump_json(),
        },
    }
