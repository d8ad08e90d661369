"""Secret settings: from the environment, else from Secrets Manager, read once."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared import config
from shared.clients import aws, secrets

Setting = Callable[[str, str | None], None]


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch, setting: Setting) -> list[str]:
    """Secrets Manager with `{"OPENAI_API_KEY": "from the vault", "EMPTY_API_KEY": ""}`; lists what it was asked for."""
    setting("MODEL_KEYS_SECRET", "arn:keys")
    asked: list[str] = []

    def get(**given: Any) -> dict[str, str]:
        asked.append(given["SecretId"])
        return {"SecretString": json.dumps({"OPENAI_API_KEY": "from the vault", "EMPTY_API_KEY": ""})}

    monkeypatch.setattr(aws.secretsmanager(), "get_secret_value", get)
    return asked


def test_environment_comes_first(vault: list[str]) -> None:
    assert secrets.model_key("openai") == "key-of-the-model-provider"
    assert vault == []


def test_vault_is_asked_once(vault: list[str], setting: Setting) -> None:
    setting("OPENAI_API_KEY", None)
    assert [secrets.model_key("openai") for _ in range(3)] == ["from the vault"] * 3
    assert secrets.model_key("unknown") is None
    assert vault == ["arn:keys"]


@pytest.mark.parametrize("provider", ["empty", "unknown"])
def test_no_key(vault: list[str], provider: str) -> None:
    assert secrets.model_key(provider) is None


def test_nothing_is_asked_without_a_name(vault: list[str], setting: Setting) -> None:
    setting("MODEL_KEYS_SECRET", None)
    assert secrets.secret("MODEL_KEYS") is None
    assert vault == []


@pytest.mark.parametrize("provider", ["", "a-b", "a b", "a.b", "../x", "a\n"])
def test_providers_that_name_no_setting(provider: str) -> None:
    assert config.model_base_url(provider) is None


def test_providers(setting: Setting) -> None:
    assert config.model_base_url("openai") == "https://api.openai.com/v1"
    assert config.model_base_url("custom") is None
    setting("CUSTOM_BASE_URL", "https://models.example")
    setting("OPENAI_BASE_URL", "https://proxy.example")
    assert config.model_base_url("custom") == "https://models.example"
    assert config.model_base_url("openai") == "https://proxy.example"
    setting("CUSTOM_BASE_URL", "")
    assert config.model_base_url("custom") is None


def test_table_is_the_one_setting_that_must_be_there(setting: Setting) -> None:
    setting("TABLE_NAME", None)
    with pytest.raises(KeyError, match="TABLE_NAME"):
        config.settings()
