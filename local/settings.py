"""What a user may set through the environment, and where each setting goes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from local.errors import LocalError

DEFAULT_PORT = 8000
_WIDE = "5000"
DEMO_TENANT = "demo"
# Document 0's tenants with their limits on requests, and one without.
DEMO_TENANTS: dict[str, list[str]] = {
    "tenant_a": ["10/hour"],
    "tenant_b": ["200/day"],
    "tenant_c": ["5/minute"],
    DEMO_TENANT: [],
}
OPERATORS_SCOPES = ("tenants:read", "tenants:write")

# Settings that the template takes as parameters; every other one becomes an environment variable.
PARAMETERS = {
    "ACCESS_TOKEN_EXPIRE_MINUTES": "AccessTokenExpireMinutes",
    "ALLOW_TEST_TOKENS": "AllowTestTokens",
    "AUTH_API_KEYS": "AuthApiKeys",
    "AUTHORIZER_CACHE_SECONDS": "AuthorizerCacheSeconds",
    "AGENT_LOG_DAYS": "AgentLogDays",
    "CORS_ORIGINS": "CorsOrigins",
    "CUSTOM_BASE_URL": "CustomModelBaseUrl",
    "DEFAULT_MODEL": "DefaultModel",
    "JWT_ALGORITHM": "JwtAlgorithm",
    "JWT_AUDIENCE": "JwtAudience",
    "JWT_ISSUER": "JwtIssuer",
    "LEGACY_SCOPES": "LegacyScopes",
    "LOG_LEVEL": "LogLevel",
    "MODEL_PRICES": "ModelPrices",
    "OPENAI_BASE_URL": "OpenAIBaseUrl",
    "RATE_LIMIT_DEFAULT": "RateLimitDefault",
    "RATE_LIMIT_RUNS": "RateLimitRuns",
    **{
        f"{tier.upper()}_PLAN_{figure.upper()}": f"{tier}Plan{figure}"
        for tier in ("Free", "Standard", "Unlimited")
        for figure in ("Rate", "Burst")
    },
    "SSE_KEEPALIVE_SECONDS": "SseKeepaliveSeconds",
    "UPLOAD_MAX_SIZE": "UploadMaxSize",
    "WORKER_CONCURRENCY": "WorkerConcurrency",
}
# These stay out of the parameters, and so out of the emulator's state on disk.
_SECRETS = {
    "API_KEY_PEPPER",
    "API_KEY_PEPPER_PREVIOUS",
    "CUSTOM_API_KEY",
    "JWT_SECRET",
    "JWT_SECRET_PREVIOUS",
    "OPENAI_API_KEY",
}
_NAMES = frozenset(PARAMETERS) | _SECRETS | {"HOST", "PORT", "SYNC_WAIT_SECONDS"}
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
_PREFIXES = ("SECRET_", "TOOL_", "UPLOAD_MAX_")


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The settings among the variables of a shell; the rest of the user's environment stays private."""
    return {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}


def port_of(settings: Mapping[str, str]) -> int:
    """The port of the API."""
    text = settings.get("PORT") or str(DEFAULT_PORT)
    # The runtime needs the two ports that follow as well.
    if not text.isdecimal() or not 1 <= int(text) <= 65533:
        raise LocalError(f"PORT must be a number from 1 to 65533, not {text!r}")
    return int(text)


def completed(settings: Mapping[str, str], standins_port: int) -> dict[str, str]:
    """The settings with what only the local runtime adds: demo tenants, offline model, reachable stand-ins."""
    standins = f"127.0.0.1:{standins_port}"
    result = {name: value for name, value in settings.items() if value and name not in ("HOST", "PORT")}
    _check_token_settings(result)
    result["AUTH_API_KEYS"] = json.dumps(boot_keys(settings.get("AUTH_API_KEYS", "")), sort_keys=True)
    # What one machine can serve is no matter of plans: here they are wide, and the exact limits hold all the same.
    result = {name: _WIDE for name in PARAMETERS if "_PLAN_" in name} | result
    if "OPENAI_API_KEY" not in result and "OPENAI_BASE_URL" not in result:
        result["OPENAI_API_KEY"] = "offline"
        result["OPENAI_BASE_URL"] = f"http://{standins}/v1"
    reachable = [result.get("TOOL_PRIVATE_HOSTS", ""), standins, f"localhost:{standins_port}"]
    result["TOOL_PRIVATE_HOSTS"] = ",".join(filter(None, reachable))
    return result


def _check_token_settings(settings: Mapping[str, str]) -> None:
    """Say at the start what would else fail the first login."""
    algorithm = settings.get("JWT_ALGORITHM", "HS256")
    if algorithm not in _SECRET_BYTES:
        raise LocalError(f"JWT_ALGORITHM must be one of {', '.join(_SECRET_BYTES)}, not {algorithm!r}")
    for name in ("JWT_SECRET", "JWT_SECRET_PREVIOUS"):
        if name in settings and len(settings[name].encode()) < _SECRET_BYTES[algorithm]:
            raise LocalError(f"{name} needs at least {_SECRET_BYTES[algorithm]} bytes for {algorithm}")


def boot_keys(text: str) -> dict[str, Any]:
    """The user's boot keys and those of the demo tenants, whose key is their name."""
    try:
        mine = json.loads(text or "{}")
    except ValueError:
        mine = None
    if not isinstance(mine, dict):
        raise LocalError("AUTH_API_KEYS must be a JSON object: {key: {tenant_id, user_id, scopes}}")
    return {tenant: boot_key(tenant) for tenant in DEMO_TENANTS if tenant != DEMO_TENANT} | mine


def boot_key(tenant: str, scopes: Sequence[str] = ("admin",)) -> dict[str, Any]:
    """What a boot key says; without scopes, that of a tenant's administrator."""
    return {"tenant_id": tenant, "user_id": f"{tenant}-user", "scopes": list(scopes)}
