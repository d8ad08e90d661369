"""The list of the audit: filters, times, pages."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.store.table import TenantStore
from tests.unit.conftest import Requests
from tests.unit.support.audit import found
from tests.unit.support.gateway import Api

pytestmark = pytest.mark.covers("GET /audit")


def some(api: Api, travel: Callable[[float], None]) -> list[dict[str, Any]]:
    """Six records a minute apart, of two users."""
    for number in range(6):
        caller = api.as_(user=f"user_{number % 2}", scopes="" if number % 3 else "admin")
        caller.post("/agents" if number < 4 else "/tools", {"nonsense": number})
        travel(60)
    return found(api)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("&user_id=user_1", lambda record: record["actor"]["user_id"] == "user_1"),
        ("&key_id=key_1", lambda record: True),
        ("&key_id=key_2", lambda record: False),
        ("&action=create_agent", lambda record: record["action"] == "create_agent"),
        ("&outcome=refused", lambda record: True),
        ("&outcome=failed", lambda record: False),
        ("&path=/tools", lambda record: record["path"] == "/tools"),
        ("&path=/", lambda record: True),
        ("&user_id=user_1&path=/agents", lambda r: r["actor"]["user_id"] == "user_1" and r["path"] == "/agents"),
    ],
)
def test_filters(api: Api, travel: Callable[[float], None], query: str, wanted: Any) -> None:
    everything = some(api, travel)
    assert len(everything) == 6
    assert found(api, query) == [record for record in everything if wanted(record)]


def test_times(api: Api, monkeypatch: pytest.MonkeyPatch, store: TenantStore) -> None:
    moments = [datetime(2026, 1, 1, 12, minute, tzinfo=UTC) for minute in range(5)]
    for moment in moments:
        monkeypatch.setattr("shared.store.ids.time.time_ns", lambda at=moment: int(at.timestamp()) * 10**9)
        monkeypatch.setattr("shared.store.ids._last", 0)
        api.post("/agents", {"nonsense": 1})
    monkeypatch.undo()

    def minutes(query: str) -> list[int]:
        return [datetime.fromisoformat(record["created_at"]).minute for record in found(api, query)]

    assert minutes("&since=2026-01-01T12:02:00Z") == [4, 3, 2]
    assert minutes("&since=2026-01-01T12:02:00Z&until=2026-01-01T12:03:00Z") == [3, 2]
    assert minutes("&until=2026-01-01T12:01:30Z&action=create_agent") == [1, 0]
    assert minutes("&since=2026-01-01T12:03:00Z&until=2026-01-01T12:02:00Z") == []
    assert minutes("&since=2026-01-01T13:03:00+01:00") == [4, 3]


@pytest.mark.parametrize(
    "query", ["outcome=good", "since=yesterday", "until=1900-01-01", "path=" + "x" * 301, "user_id=" + "x" * 201]
)
def test_what_is_no_filter_is_refused(api: Api, query: str) -> None:
    assert api.get(f"/audit?{query}").status == 422


@pytest.mark.parametrize("query", ["", "&user_id=user_1", "&since=2020-01-01T00:00:00Z"])
def test_pages(api: Api, travel: Callable[[float], None], query: str) -> None:
    some(api, travel)
    everything = found(api, query)
    collected, cursor = [], ""
    while True:
        page = api.get(f"/audit?limit=2{query}{cursor}")
        collected += page.json
        if "x-next-cursor" not in page.headers:
            break
        cursor = f"&cursor={page.headers['x-next-cursor']}"
    assert collected == everything
    assert api.get(f"/audit?offset=1&limit=2{query}").json == everything[1:3]
    assert api.get(f"/audit?page=2&page_size=2{query}").json == everything[2:4]


def test_a_page_is_one_request(api: Api, requests: Requests) -> None:
    api.post("/agents", {"nonsense": 1})
    assert requests.of(lambda: api.get("/audit?since=2020-01-01T00:00:00Z")) == ["Query"]
    assert requests.of(lambda: api.get("/audit?user_id=user_1")) == ["Query"]
