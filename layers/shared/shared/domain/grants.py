"""Nobody grants what they lack: not in a key, not in a token, not by an invitation or a role."""

from collections.abc import Iterable

from shared.domain.scopes import ROLES, holds, meant, without_management
from shared.errors import Forbidden


def narrowed(granted: frozenset[str], wanted: Iterable[str] | None) -> frozenset[str]:
    """The scopes of a new key or token.

    Args:
        granted: what its maker holds. wanted: `None` for what the maker holds, less the management of keys and users.

    Raises:
        Forbidden: a scope is wanted that the maker lacks.
    """
    if wanted is None:
        return without_management(granted)
    wanted = frozenset(wanted)
    _check(granted, meant(wanted))
    return wanted


def check_role(granted: frozenset[str], role: str) -> None:
    """Refuse to give or to touch a role that is wider than one's own rights.

    Raises:
        Forbidden: names a scope of the role that is lacking.
    """
    _check(granted, ROLES[role])


def _check(granted: frozenset[str], wanted: frozenset[str]) -> None:
    if lacking := sorted(scope for scope in wanted if not holds(granted, scope)):
        raise Forbidden(f"You cannot grant a scope that you lack: {lacking[0]}.", code="scope_not_held")
