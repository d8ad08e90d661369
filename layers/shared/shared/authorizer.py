"""API Gateway's REQUEST authorizer: what comes in, what goes out.

Source: Amazon API Gateway Developer Guide, "Input to and output from an API Gateway Lambda authorizer".
"""

from typing import Any

from shared import metrics
from shared.domain import identities
from shared.domain.api_keys import Identity
from shared.domain.budgets import as_text
from shared.domain.tenants import Standing
from shared.telemetry import Refusal, measure


def identify(event: dict[str, Any]) -> Identity | None:
    """Who calls: by the key in `X-API-Key`, else by the token in `Authorization: Bearer`; `None` for nobody."""
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    if key := headers.get("x-api-key"):
        return identities.of_key(key)
    kind, _, token = headers.get("authorization", "").partition(" ")
    return identities.of_token(token.strip(" ")) if kind.lower() == "bearer" else None


def refusal() -> Refusal:
    """What is raised against nobody: the gateway knows no word but this for its answer 401."""
    measure({metrics.AUTHORIZER_REFUSED: 1})
    return Refusal("Unauthorized")


def policy(method_arn: str, identity: Identity, standing: Standing) -> dict[str, Any]:
    """Leave to call any method of the stage, and who calls. Context values are strings, as the gateway asks."""
    api, stage = method_arn.split("/")[:2]
    token = {} if identity.family_id is None else {"family_id": identity.family_id, "expires_at": identity.expires_at}
    budgets = {"budgets": as_text(identity.budgets)} if identity.budgets else {}
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
            **budgets,
            **token,
        },
        **({"usageIdentifierKey": standing.gateway_key} if standing.gateway_key else {}),
    }
