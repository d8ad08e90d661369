"""Scopes and roles. What is not granted here is refused: closed by default."""

from collections.abc import Iterable

from shared.config import settings

ADMIN = "admin"
EXECUTE = "runs:execute"
_RESOURCES = ("agents", "tools", "runs", "api-keys", "users", "tenants")

PLATFORM = frozenset({"tenants:read", "tenants:write"})
"""What the operator of the platform may do. `admin` is a tenant's own administrator and holds none of these."""

SCOPES = frozenset(
    {ADMIN, EXECUTE, "audit:read", *(f"{name}:{verb}" for name in _RESOURCES for verb in ("read", "write"))}
)
"""Every scope that there is."""

MANAGEMENT = frozenset({"api-keys:read", "api-keys:write", "users:read", "users:write"})
"""What is never handed on silently: a key or token gets these only by name."""

ROLES = {
    "admin": frozenset({ADMIN}),
    "developer": frozenset(SCOPES - {ADMIN, "audit:read"} - MANAGEMENT - PLATFORM),
    "user": frozenset({EXECUTE, "agents:read", "tools:read", "runs:read"}),
}
"""Admin: all in the tenant. Developer: all but keys, users, audit and tenants. User: read and run."""


def holds(granted: Iterable[str], wanted: str) -> bool:
    """Whether these scopes allow what `wanted` names. `admin` allows everything but what is the operator's."""
    granted = frozenset(granted)
    return wanted in SCOPES and (wanted in granted or (ADMIN in granted and wanted not in PLATFORM))


def common(first: Iterable[str], second: Iterable[str]) -> frozenset[str]:
    """What both allow; `admin` on one side gives way to what the other names."""
    first, second = frozenset(first), frozenset(second)
    return frozenset({s for s in first if holds(second, s)} | {s for s in second if holds(first, s)})


def meant(granted: Iterable[str]) -> frozenset[str]:
    """What scopes stand for: with `LEGACY_SCOPES`, document 1's `tools:write` alone is a developer's."""
    granted = frozenset(granted) & SCOPES
    legacy = "tools:write" in granted <= {"tools:read", "tools:write"} and settings().legacy_scopes
    return ROLES["developer"] if legacy else granted


def without_management(granted: Iterable[str]) -> frozenset[str]:
    """What a key or token gets that is made without scopes: its maker's, less keys, users and tenants."""
    granted = frozenset(granted)
    wide = SCOPES - {ADMIN} if ADMIN in granted else granted
    return frozenset(wide - MANAGEMENT - PLATFORM)


def role_of(granted: Iterable[str]) -> str:
    """The role whose rights these scopes come up to."""
    granted = frozenset(granted)
    if ADMIN in granted:
        return "admin"
    return "developer" if granted - ROLES["user"] else "user"
