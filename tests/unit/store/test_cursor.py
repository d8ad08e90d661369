"""Cursors: opaque, and never more than a place in one's own list."""

import base64
import random

import pytest

from shared.errors import BadRequest
from shared.store import cursor


@pytest.mark.parametrize(
    "sort", ["a", "01900000-0000-7000-8000-000000000000", "EVENT#000001", "ü", "\U0001f375", "x" * 384]
)
def test_there_and_back(sort: str) -> None:
    text = cursor.encode(sort)
    assert cursor.decode(text) == sort
    assert text.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("text", ["", "=", "a", "a===", "YQ===", "Y Q", "é", "\ud800", "YQ\n", "//79", "A" * 513])
def test_what_was_never_a_cursor(text: str) -> None:
    with pytest.raises(BadRequest):
        cursor.decode(text)


@pytest.mark.parametrize("sort", ["\x00", "a\nb", "\u202e", "\x7f"])
def test_no_key_of_ours_is_unprintable(sort: str) -> None:
    with pytest.raises(BadRequest):
        cursor.decode(base64.urlsafe_b64encode(sort.encode()).decode().rstrip("="))


def test_noise_is_refused_or_read_but_never_breaks() -> None:
    dice = random.Random(1)
    for _ in range(5_000):
        text = "".join(
            chr(dice.choice((dice.randrange(128), dice.randrange(0x10FFFF)))) for _ in range(dice.randrange(40))
        )
        try:
            assert cursor.decode(text).isprintable()
        except BadRequest:
            continue
