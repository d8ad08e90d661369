"""Short tokens by which a tool of auth type `service` knows that the platform calls, and for whom.

The key that a tool's owner holds is made from `JWT_SECRET` for one tenant and one host. It opens nothing else: with it
nobody can make an access token of the platform, nor a token for another tenant's tools or another host.
"""

import hashlib
import hmac
import time
import uuid

from shared.clients.secrets import ring
from shared.config import settings

LIFETIME_SECONDS = 60


def key_of(tenant_id: str, host: str) -> str | None:
    """The key by which a tool at this host checks the tokens of this tenant; None if there is no `JWT_SECRET`."""
    current = ring("JWT_SECRET").current()
    if current is None:
        return None
    return hmac.new(current[1], f"service tools:{tenant_id}:{host}".encode(), hashlib.sha256).hexdigest()


def sign(tenant_id: str, host: str, claims: dict[str, str]) -> str | None:
    """A token for one call; None if this deployment has no `JWT_SECRET`.

    Args:
        host: of the tool, in its canonical spelling: the audience.
        claims: what the tool is told beside the tenant.
    """
    import jwt  # here, because few tools are services

    key = key_of(tenant_id, host)
    if key is None:
        return None
    now = int(time.time())
    said = {
        "iss": settings().jwt_issuer,
        "aud": host,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": str(uuid.uuid4()),
    }
    return jwt.encode({**claims, "tenant_id": tenant_id, **said}, key, algorithm="HS256")
