"""`python -m operations.first_tenant`: from an empty platform to a tenant, without a boot key."""

import re
from pathlib import Path

import httpx
import pytest

from local.runtime import Runtime
from tests.integration import operator_commands as operator

_KEY = re.compile(r"ap_local_[0-9A-Za-z]{16}_[0-9A-Za-z]{32}_[0-9A-Za-z]{6}")


def called(platform: Runtime, method: str, path: str, key: str, **options: object) -> httpx.Response:
    return httpx.request(method, platform.url + path, headers={"X-API-Key": key}, timeout=35, **options)  # type: ignore[arg-type]


@pytest.mark.covers("POST /tenants")
def test_from_nothing_to_a_customer(platform: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "key"
    shown = operator.done(platform, "first_tenant", "--tenant", "first-op", "--key-file", str(file))
    key = operator.key_of(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in shown, "a log of the command holds no key"
    assert f"{file}" in shown
    made = called(platform, "POST", "/tenants", key, json={"id": "first-customer", "name": "Acme"})
    assert made.status_code == 201, made.text
    assert called(platform, "GET", "/agents", made.json()["admin_key"]).status_code == 200
    assert called(platform, "GET", "/agents", key).status_code == 200
    record = called(platform, "GET", "/tenants/first-op", key).json()
    assert (record["name"], record["plan"], record["status"]) == ("Operator", "unlimited", "active")


def test_it_is_made_once(platform: Runtime, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    arguments = ("--tenant", "once-op", "--key-file")
    operator.done(platform, "first_tenant", *arguments, str(first))
    assert "--new-key" in operator.refusal(platform, "first_tenant", *arguments, str(second))
    assert "exists" in operator.refusal(platform, "first_tenant", *arguments, str(first), "--new-key")
    assert not second.exists()
    operator.done(platform, "first_tenant", *arguments, str(third), "--new-key")
    keys = {operator.key_of(first), operator.key_of(third)}
    assert [called(platform, "GET", "/tenants/once-op", key).status_code for key in keys] == [200, 200]


def test_the_key_is_shown_on_a_terminal_only(platform: Runtime) -> None:
    assert "no terminal" in operator.refusal(platform, "first_tenant", "--tenant", "shown-op")
    shown = operator.at_terminal(platform, "first_tenant", "--tenant", "shown-op")
    (key,) = _KEY.findall(shown)
    assert called(platform, "GET", "/tenants/shown-op", key).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--tenant", "a#b"), "no id of a tenant"),
        (("--tenant", "_operator"), "no id of a tenant"),
        (("--tenant", "nobody-op", "--new-key"), "There is no tenant"),
    ],
)
def test_what_is_refused(platform: Runtime, tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    assert why in operator.refusal(platform, "first_tenant", *arguments, "--key-file", str(tmp_path / "key"))


def test_a_stack_that_is_not_there(platform: Runtime, tmp_path: Path) -> None:
    arguments = ("--stack", "another", "--key-file", str(tmp_path / "key"))
    assert "There is no stack another" in operator.refusal(platform, "first_tenant", *arguments)


def test_secrets_of_the_shell_do_not_count(platform: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "key"
    arguments = ("--tenant", "shell-op", "--key-file", str(file))
    ended = operator.run(platform, "first_tenant", *arguments, API_KEY_PEPPER="of another platform")
    assert ended.returncode == 0, ended.stderr
    assert called(platform, "GET", "/agents", operator.key_of(file)).status_code == 200
