"""The secret behind the tokens is rolled, and nobody is signed out."""

from collections.abc import Callable

import pytest

from shared.clients import secrets
from shared.domain import signing
from tests.unit.support.vault import Vault

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]


@pytest.fixture
def vault(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> Vault:
    setting("JWT_SECRET", None)
    setting("JWT_SECRET_SECRET", "arn:jwt")
    return Vault("arn:jwt", "first" * 10).opened(monkeypatch)


def kid(token: str) -> str:
    return token.partition(".")[0]


def test_secret_is_read_once(vault: Vault) -> None:
    for _ in range(3):
        assert signing.opened(signing.sign({"n": 1})) == {"n": 1}
    assert vault.asked == ["AWSCURRENT", "AWSPREVIOUS"]


def test_environment_that_knows_the_old_secret_takes_the_new_one_at_once(vault: Vault, travel: Travel) -> None:
    old = signing.sign({"n": 1})
    vault.rotate("second" * 10)
    secrets.ring.cache_clear()
    new = signing.sign({"n": 2})
    assert kid(new) != kid(old)
    # Another environment, which read the secret before it was rolled.
    vault.stages, rolled = {"AWSCURRENT": "first" * 10}, vault.stages
    secrets.ring.cache_clear()
    assert kid(signing.sign({})) == kid(old)
    vault.stages = rolled
    travel(2)
    assert signing.opened(new) == {"n": 2}
    assert signing.opened(old) == {"n": 1}


def test_old_secret_still_verifies_and_never_signs(vault: Vault, travel: Travel) -> None:
    old = signing.sign({"n": 1})
    vault.rotate("second" * 10)
    travel(301)
    new = signing.sign({"n": 2})
    assert kid(new) != kid(old)
    assert (signing.opened(old), signing.opened(new)) == ({"n": 1}, {"n": 2})
    vault.rotate("third" * 10)
    travel(301)
    assert signing.opened(old) is None, "rolled twice"
    assert signing.opened(new) == {"n": 2}


def test_unknown_keys_do_not_ask_the_vault_each_time(vault: Vault, setting: Setting, travel: Travel) -> None:
    vault.stages["AWSCURRENT"] = "another" * 10
    foreign = signing.sign({})
    vault.stages["AWSCURRENT"] = "first" * 10
    secrets.ring.cache_clear()
    signing.sign({})
    vault.asked.clear()
    for _ in range(100):
        assert signing.opened(foreign) is None
    assert vault.asked == []
    travel(2)
    for _ in range(100):
        assert signing.opened(foreign) is None
    assert vault.asked == ["AWSCURRENT", "AWSPREVIOUS"]


def test_settings_go_before_the_vault(setting: Setting) -> None:
    setting("JWT_SECRET", "a" * 40)
    assert secrets.versions("JWT_SECRET") == ["a" * 40]
    old = signing.sign({"n": 1})
    setting("JWT_SECRET", "b" * 40)
    assert signing.opened(old) is None
    setting("JWT_SECRET_PREVIOUS", "a" * 40)
    assert secrets.versions("JWT_SECRET") == ["b" * 40, "a" * 40]
    assert signing.opened(old) == {"n": 1}
    assert kid(signing.sign({})) != kid(old)


def test_no_secret(setting: Setting) -> None:
    setting("JWT_SECRET", None)
    assert secrets.versions("JWT_SECRET") == []


@pytest.mark.parametrize("length", [1, 2, 3, 4_096, 4_097])
def test_texts_that_are_no_tokens(length: int) -> None:
    for text in ("." * length, "a" * length, "a." * (length // 2)):
        assert signing.opened(text) is None
