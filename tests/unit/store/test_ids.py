"""Ids: UUIDv7, ascending."""

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from shared.store.ids import first_at, is_id, made_at, new_id


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


def test_ids_lie_between_the_bounds_of_their_time() -> None:
    before = datetime.now(UTC)
    made = new_id()
    after = datetime.now(UTC) + timedelta(milliseconds=2)
    assert first_at(before) <= made < first_at(after)
    assert before - timedelta(milliseconds=1) <= made_at(made) <= after
    assert made_at(first_at(made_at(made))) == made_at(made)


@pytest.mark.parametrize("year", [1, 1970, 9999])
def test_bounds_exist_for_every_time(year: int) -> None:
    assert is_id(first_at(datetime(year, 1, 1, tzinfo=UTC)))


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
