"""When a secret may be rotated, and which keys stand against it."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from operations import rotate_secret
from operations.command import Refused
from operations.rotate_secret import Version
from shared import clock
from shared.clients.secrets import fingerprint
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize

Setting = Callable[[str, str | None], None]
Travel = Callable[[float], None]

CURRENT = fingerprint(b"pepper" * 6)
HALF_HOUR = timedelta(minutes=30)


def version(minutes: float, is_first: bool = False) -> Version:
    return Version("v", CURRENT, datetime.now(UTC) - timedelta(minutes=minutes), is_first)


def test_tokens_of_the_value_before_are_waited_for() -> None:
    with pytest.raises(Refused, match="Wait, or --now"):
        rotate_secret.check_age(version(35.9), HALF_HOUR)
    rotate_secret.check_age(version(36.1), HALF_HOUR)


def test_environments_that_know_the_value_before_are_waited_for() -> None:
    with pytest.raises(Refused):
        rotate_secret.check_age(version(5.9), timedelta(0))
    rotate_secret.check_age(version(6.1), timedelta(0))


def test_what_was_never_rotated_can_be() -> None:
    rotate_secret.check_age(version(0, is_first=True), HALF_HOUR)


def test_keys_that_would_end_are_counted(api: Api, other: Api, setting: Setting, travel: Travel) -> None:
    used, _, revoked, _ = (api.make("/api-keys") for _ in range(4))
    api.make("/api-keys", expires_at=clock.in_seconds(60))
    other.make("/api-keys")
    assert rotate_secret.keys_of_other_peppers(CURRENT) == Counter()
    setting("API_KEY_PEPPER_PREVIOUS", "pepper" * 6)
    setting("API_KEY_PEPPER", "another")
    assert api.delete(f"/api-keys/{revoked['id']}").status == 204
    assert authorize(used["key"]) is not None
    api.make("/api-keys")
    travel(61)
    assert rotate_secret.keys_of_other_peppers(fingerprint(b"another")) == {"tenant_a": 2, "tenant_b": 1}


def test_rotation_is_refused_for_keys_that_would_end(
    api: Api, other: Api, setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    api.make("/api-keys")
    other.make("/api-keys")
    state = Version("v", fingerprint(b"another"), datetime.now(UTC), False)
    for lose in (0, 1):
        with pytest.raises(Refused, match="--lose 2"):
            rotate_secret.check_keys(state, lose)
    rotate_secret.check_keys(state, 2)
    assert "tenant_b: 1" in capsys.readouterr().out
    rotate_secret.check_keys(version(0), 0)
    assert "All keys" in capsys.readouterr().out
