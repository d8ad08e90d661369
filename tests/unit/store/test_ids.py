"""Ids: UUIDv7, ascending."""

import time
import uuid

import pytest

from shared.store.ids import is_id, new_id


def test_form() -> None:
    for _ in range(1_000):
        text = new_id()
        value = uuid.UUID(text)
        assert (str(value), value.version, value.variant) == (text, 7, uuid.RFC_4122)
        assert is_id(text)


def test_ascending_and_distinct() -> None:
    made = [new_id() for _ in range(20_000)]
    assert sorted(set(made)) == made


def test_ascending_when_the_clock_stands_or_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    made = [new_id()]
    for moment in (now, now, now - 10**9, now - 3_600 * 10**9, now):
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: moment)
        made.append(new_id())
    assert sorted(set(made)) == made


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id()).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000 + 50


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "01900000-0000-7000-8000-00000000000",
        "01900000-0000-7000-8000-0000000000000",
        "01900000-0000-7000-8000-00000000000G",
        "01900000-0000-7000-8000-00000000000A",
        "019000000000700080000000000000000000",
        " 01900000-0000-7000-8000-000000000000",
        "01900000-0000-7000-8000-000000000000\n",
        "{01900000-0000-7000-8000-000000000000}",
    ],
)
def test_what_has_not_the_form(text: str) -> None:
    assert not is_id(text)
