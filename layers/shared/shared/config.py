"""Settings, read from the environment once and only when asked for."""

import json
import os
import re
from dataclasses import dataclass
from functools import cache, lru_cache

_DOLLARS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
_RATE_LIMIT = re.compile(r"[1-9][0-9]{0,6}/(second|minute|hour|day)")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the platform can be told from outside. Names and defaults are listed in docs/settings.md."""

    table_name: str
    environment: str
    default_model: str
    sync_wait_seconds: float
    sse_keepalive_seconds: float
    tool_default_timeout_ms: int
    tool_max_timeout_ms: int
    tool_retry_attempts: int
    tool_private_hosts: frozenset[str]
    tool_secrets: frozenset[str]
    authorizer_cache_seconds: int
    rate_limit_default: tuple[str, ...]
    rate_limit_runs: tuple[str, ...]
    gateway_key: str
    access_token_seconds: int
    jwt_algorithm: str
    jwt_issuer: str
    jwt_audience: str
    allow_test_tokens: bool
    legacy_scopes: bool
    audit_retention_days: int
    agent_log_days: int
    upload_max_size: int
    upload_max_expanded: int
    upload_max_members: int
    aws_endpoint: str | None


def _names(variable: str) -> frozenset[str]:
    return frozenset(name.strip() for name in os.environ.get(variable, "").split(",") if name.strip())


def _rate_limits(variable: str, default: str) -> tuple[str, ...]:
    """Limits such as ``100/minute,1000/day``; the word `unlimited` means none.

    Raises:
        ValueError: it is neither.
    """
    text = os.environ.get(variable) or default
    limits = () if text == "unlimited" else tuple(limit.strip() for limit in text.split(","))
    if any(_RATE_LIMIT.fullmatch(limit) is None for limit in limits):
        raise ValueError(f"{variable} must be like 100/minute, or unlimited")
    return limits


def _true(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in {"1", "true", "yes"}


@cache
def settings() -> Settings:
    """The settings of this process. A missing `TABLE_NAME` raises `KeyError`: nothing works without it."""
    env = os.environ
    return Settings(
        table_name=env["TABLE_NAME"],
        environment=env.get("ENVIRONMENT", "dev"),
        default_model=env.get("DEFAULT_MODEL", "openai:gpt-4o-mini"),
        sync_wait_seconds=float(env.get("SYNC_WAIT_SECONDS", "25")),
        sse_keepalive_seconds=float(env.get("SSE_KEEPALIVE_SECONDS", "15")),
        tool_default_timeout_ms=int(env.get("TOOL_DEFAULT_TIMEOUT_MS", "15000")),
        tool_max_timeout_ms=int(env.get("TOOL_MAX_TIMEOUT_MS", "60000")),
        tool_retry_attempts=int(env.get("TOOL_RETRY_ATTEMPTS", "2")),
        tool_private_hosts=_names("TOOL_PRIVATE_HOSTS"),
        tool_secrets=_names("TOOL_SECRETS"),
        authorizer_cache_seconds=int(env.get("AUTHORIZER_CACHE_SECONDS", "60")),
        rate_limit_default=_rate_limits("RATE_LIMIT_DEFAULT", "100/minute"),
        gateway_key=env.get("GATEWAY_KEY", ""),
        rate_limit_runs=_rate_limits("RATE_LIMIT_RUNS", "20/minute"),
        access_token_seconds=60 * int(env.get("ACCESS_TOKEN_EXPIRE_MINUTES", "30")),
        jwt_algorithm=env.get("JWT_ALGORITHM", "HS256"),
        jwt_issuer=env.get("JWT_ISSUER", "agent-platform"),
        jwt_audience=env.get("JWT_AUDIENCE", "agent-platform"),
        allow_test_tokens=_true("ALLOW_TEST_TOKENS"),
        legacy_scopes=_true("LEGACY_SCOPES"),
        audit_retention_days=int(env.get("AUDIT_RETENTION_DAYS", "365")),
        agent_log_days=int(env.get("AGENT_LOG_DAYS", "30")),
        upload_max_size=int(env.get("UPLOAD_MAX_SIZE", "104857600")),
        upload_max_expanded=int(env.get("UPLOAD_MAX_EXPANDED", "1073741824")),
        upload_max_members=int(env.get("UPLOAD_MAX_MEMBERS", "10000")),
        aws_endpoint=env.get("AWS_ENDPOINT_URL"),
    )


def cors_origins() -> frozenset[str]:
    """`CORS_ORIGINS`: whose pages may read the API's answers. Not of `settings`: answers to failures need it too."""
    return _names("CORS_ORIGINS")


def model_base_url(provider: str) -> str | None:
    """Base URL of a model provider, `None` if this deployment does not know the provider.

    `openai` is always known; any other provider is known by its setting ``<PROVIDER>_BASE_URL``.
    """
    if not provider.isidentifier():
        return None
    default = "https://api.openai.com/v1" if provider == "openai" else None
    return os.environ.get(f"{provider.upper()}_BASE_URL") or default


@cache
def model_prices() -> dict[str, tuple[str, str]]:
    """`MODEL_PRICES`: model -> dollars for a million tokens of the prompt, and of the answer.

    Raises:
        ValueError: it is not ``{"<provider>:<model>": {"input": "0.15", "output": "0.60"}}``.
    """
    try:
        parsed = json.loads(os.environ.get("MODEL_PRICES") or "{}")
        found = {str(model): (str(price["input"]), str(price["output"])) for model, price in parsed.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("MODEL_PRICES is not {model: {input, output}}") from error
    if any(_DOLLARS.fullmatch(text) is None for price in found.values() for text in price):
        raise ValueError("MODEL_PRICES holds what is no price")
    return found


def boot_keys() -> dict[str, dict[str, object]]:
    """`AUTH_API_KEYS`: key -> ``{"tenant_id", "user_id", "scopes"}``."""
    return _boot_keys(os.environ.get("AUTH_API_KEYS") or "{}")


@lru_cache(maxsize=1)
def _boot_keys(text: str) -> dict[str, dict[str, object]]:
    parsed = json.loads(text)
    return parsed if isinstance(parsed, dict) else {}


def tool_secret(reference: str) -> str | None:
    """The value of a tool's secret from the settings.

    `SECRET_<REF>` is always readable; a bare `<REF>` only if the operator lists it in `TOOL_SECRETS`: a tenant
    chooses the reference, and an open look-up would hand it `AWS_SECRET_ACCESS_KEY`.
    """
    prefixed = reference if reference.startswith("SECRET_") else f"SECRET_{reference}"
    value = os.environ.get(prefixed)
    if value is None and reference in settings().tool_secrets:
        value = os.environ.get(reference)
    return value
