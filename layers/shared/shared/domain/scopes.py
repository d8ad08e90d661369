"""Scopes and roles. What is not granted here is refused: closed by default."""

from collections.abc import Iterable

ADMIN = "admin"
EXECUTE = "runs:execute"
_RESOURCES = ("agents", "tools", "runs", "api-keys")

SCOPES = frozenset({ADMIN, EXECUTE, *(f"{name}:{verb}" for name in _RESOURCES for verb in ("read", "write"))})
"""Every scope that there is."""

ROLES = {
    "admin": frozenset({ADMIN}),
    "developer": frozenset(SCOPES - {ADMIN, "api-keys:read", "api-keys:write"}),
    "user": frozenset({EXECUTE, "agents:read", "tools:read", "runs:read"}),
}
"""Admin: all. Developer: all but the management of keys, users and tenants. User: read and run."""


def holds(granted: Iterable[str], wanted: str) -> bool:
    """Whether these scopes allow what `wanted` names. `admin` allows everything."""
    granted = frozenset(granted)
    return wanted in SCOPES and (wanted in granted or ADMIN in granted)


def without_key_management(granted: Iterable[str]) -> frozenset[str]:
    """What a key gets that is made without scopes: its maker's, less the management of keys and users."""
    granted = frozenset(granted)
    wide = SCOPES - {ADMIN} if ADMIN in granted else granted
    return frozenset(wide - {"api-keys:read", "api-keys:write"})


def role_of(granted: Iterable[str]) -> str:
    """The role whose rights these scopes come up to."""
    granted = frozenset(granted)
    if ADMIN in granted:
        return "admin"
    return "developer" if granted - ROLES["user"] else "user"
