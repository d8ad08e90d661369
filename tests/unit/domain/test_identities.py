"""From a key to who it stands for: boot keys, and what is remembered for how long."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared import clock
from shared.domain import identities
from shared.domain.api_keys import checksum
from tests.unit.conftest import Requests
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]

# The key's entry, its maker, the note of its use, and the tenant's record.
LOOK_UP = ["GetItem", "GetItem", "UpdateItem", "GetItem"]


def test_key_is_looked_up_once_in_the_time_of_the_cache(api: Api, requests: Requests, travel: Travel) -> None:
    key = api.make("/api-keys")["key"]
    assert requests.of(lambda: authorize(key)) == LOOK_UP
    travel(59)
    assert requests.of(lambda: authorize(key)) == []
    travel(2)
    assert requests.of(lambda: authorize(key)) == LOOK_UP


def test_cache_can_be_switched_off(api: Api, requests: Requests, setting: Setting) -> None:
    setting("AUTHORIZER_CACHE_SECONDS", "0")
    key = api.make("/api-keys")["key"]
    assert requests.of(lambda: authorize(key)) == LOOK_UP
    assert requests.of(lambda: authorize(key)) == LOOK_UP


def test_expiry_is_exact_whatever_is_remembered(api: Api, travel: Travel) -> None:
    key = api.make("/api-keys", expires_at=clock.in_seconds(30))["key"]
    assert authorize(key) is not None
    travel(31)
    assert authorize(key) is None


def test_refusals_are_not_remembered(api: Api, requests: Requests) -> None:
    """A key that was used a moment too early works once it is there."""
    body = "ap_dev_" + "a" * 16 + "_" + "b" * 32
    key = f"{body}_{checksum(body)}"
    assert requests.of(lambda: authorize(key)) == requests.of(lambda: authorize(key)) == ["GetItem"]


def test_memory_is_bounded(table: str, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identities._remembered, "most", 10)
    owner = {"tenant_id": "tenant_a", "scopes": []}
    setting("AUTH_API_KEYS", json.dumps({f"boot-{n}": owner for n in range(15)}))
    for n in (*range(15), 14):
        assert identities.of_key(f"boot-{n}") is not None
    assert len(identities._remembered) == 10


def test_memory_holds_no_key(api: Api) -> None:
    key = api.make("/api-keys")["key"]
    authorize(key)
    assert len(identities._remembered) == 1
    assert key not in str(identities._remembered)


def boot(setting: Setting, **owner: Any) -> dict[str, Any] | None:
    """What the authorizer says to a boot key of this owner."""
    setting("AUTH_API_KEYS", json.dumps({"other": {"tenant_id": "x"}, "boot key ü": owner}))
    answer = authorize("boot key ü")
    return answer["context"] if answer else None


def test_boot_key(table: str, setting: Setting, requests: Requests) -> None:
    owner = {"tenant_id": "tenant_a", "user_id": "alice", "scopes": ["agents:read", "tools:write"]}
    assert boot(setting, **owner) == {
        "tenant_id": "tenant_a",
        "user_id": "alice",
        "role": "developer",
        "scopes": "agents:read tools:write",
        "key_id": "boot",
        "limits": '{"requests":["100/minute"],"runs":["20/minute"],"tokens":null,"cost_usd":null}',
    }
    assert list(requests) == ["GetItem"], "the tenant's record, nothing of the key"


def test_boot_key_gets_no_scope_that_does_not_exist(table: str, setting: Setting) -> None:
    said = boot(setting, tenant_id="tenant_a", scopes=["agents:read", "root", "agents:read admin", 7])
    assert said is not None
    assert (said["scopes"], said["user_id"]) == ("agents:read", "boot")


@pytest.mark.parametrize(
    "owner",
    [
        {},
        {"tenant_id": ""},
        {"tenant_id": "a#b"},
        {"tenant_id": "x" * 65},
        {"tenant_id": "a\n"},
        {"tenant_id": 7},
        {"tenant_id": "a", "scopes": "admin"},
    ],
)
def test_boot_key_of_nobody_is_refused(table: str, setting: Setting, owner: dict[str, Any]) -> None:
    assert boot(setting, **owner) is None


@pytest.mark.parametrize("value", ["", "{}", "[]", "null"])
def test_no_boot_keys(api: Api, setting: Setting, value: str) -> None:
    setting("AUTH_API_KEYS", value)
    assert authorize("other") is None
    assert authorize(api.make("/api-keys")["key"]) is not None


def test_empty_boot_key_lets_nobody_in(table: str, setting: Setting) -> None:
    setting("AUTH_API_KEYS", json.dumps({"": {"tenant_id": "a", "scopes": ["admin"]}}))
    assert authorize("") is None
