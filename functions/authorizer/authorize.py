"""API Gateway REQUEST authorizer: who is calling, by key or by token.

It answers for the whole API, never for the one method called, since the answer may be remembered. What the caller may
do is the routes' business.
"""

from typing import Any

from shared.authorizer import identify, policy, refusal
from shared.domain import tenants
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    identity = identify(event)
    standing = tenants.standing(identity.tenant_id) if identity else None
    if identity is None or standing is None or not standing.active:
        raise refusal()
    return policy(event["methodArn"], identity, standing)
