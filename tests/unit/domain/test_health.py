"""The words for being well, and what the table's state makes of them."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from shared.domain import health
from shared.errors import TableBusy
from shared.store.table import TenantStore
from tests.unit.support.gateway import Api

pytestmark = pytest.mark.covers("GET /health", "GET /health/db")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_last", None)


class Asked:
    """Counts what the table is asked, and answers or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
        self.count, self.error = 0, error
        monkeypatch.setattr(TenantStore, "get", self.get)

    def get(self, *_: Any) -> None:
        self.count += 1
        if self.error:
            raise self.error


@pytest.mark.parametrize(
    ("path", "word"),
    [("/live/health", "ok"), ("/health", "ok"), ("/api/v1/health", "healthy"), ("/other/api/v1/health", "ok")],
)
def test_the_word_depends_on_the_base_path(api: Api, path: str, word: str) -> None:
    answer = api.get("/health", requestContext={"path": path})
    assert (answer.status, answer.json) == (200, {"status": word})


def test_health_asks_nothing_of_the_table(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(monkeypatch)
    assert api.get("/health").status == 200
    assert asked.count == 0


def test_the_table_answers(api: Api) -> None:
    answer = api.get("/health/db")
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert 0 < answer.json["latency_ms"] < 10_000


def test_the_table_is_asked_once_a_second(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = Asked(monkeypatch), [100.0]
    monkeypatch.setattr("shared.domain.health.time.monotonic", lambda: now[0])
    for _ in range(20):
        assert api.get("/health/db").status == 200
    assert asked.count == 1
    now[0] += 1
    api.get("/health/db")
    assert asked.count == 2


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TableBusy("throttled"), "table_throttled"),
        (ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetItem"), "table_unavailable"),
        (ConnectTimeoutError(endpoint_url="https://table"), "table_unavailable"),
        (KeyError("TABLE_NAME"), "table_unavailable"),
    ],
)
def test_a_table_that_does_not_answer_is_503(
    api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    asked = Asked(monkeypatch, error)
    for _ in range(3):
        answer = api.get("/health/db")
        assert (answer.status, answer.code) == (503, code)
        assert answer.headers["retry-after"] == "1"
    assert asked.count == 1, "a table in trouble is not asked more than one that is well"
