"""Scopes and roles: closed by default."""

import pytest

from shared.domain.scopes import ADMIN, PLATFORM, ROLES, SCOPES, holds, role_of, without_management


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_a_scope_allows_itself_only(scope: str) -> None:
    allowed = {wanted for wanted in SCOPES if holds([scope], wanted)}
    assert allowed == (SCOPES - PLATFORM if scope == ADMIN else {scope})


@pytest.mark.parametrize("wanted", ["", "agents", "agents:*", "*", "agents:delete", "ADMIN", "agents:read "])
def test_nobody_holds_what_does_not_exist(wanted: str) -> None:
    assert not holds(SCOPES, wanted)
    assert not holds([wanted], wanted)


def test_no_scopes_allow_nothing() -> None:
    assert not any(holds([], wanted) for wanted in SCOPES)


@pytest.mark.parametrize(("role", "scopes"), ROLES.items())
def test_role_of_its_own_scopes(role: str, scopes: frozenset[str]) -> None:
    assert scopes <= SCOPES
    assert role_of(scopes) == role


def test_developer_manages_no_keys() -> None:
    assert not any(holds(ROLES["developer"], scope) for scope in ("api-keys:read", "api-keys:write", ADMIN))
    assert holds(ROLES["developer"], "agents:write")


def test_user_writes_nothing() -> None:
    assert {scope for scope in SCOPES if holds(ROLES["user"], scope)} == {
        "agents:read",
        "tools:read",
        "runs:read",
        "runs:execute",
    }


def test_key_management_is_never_inherited() -> None:
    for granted in (SCOPES, {ADMIN}, {"api-keys:write", "agents:read"}, set[str]()):
        inherited = without_management(granted)
        assert not inherited & {ADMIN, "api-keys:read", "api-keys:write"}
        assert all(holds(granted, scope) for scope in inherited)
