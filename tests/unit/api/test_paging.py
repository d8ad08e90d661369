"""Lists: all paging forms, each a way through the whole list."""

import base64
import re
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest

from shared.store import cursor
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Answer, Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call

COUNT = 7


@pytest.fixture
def made(api: Api) -> list[str]:
    """The ids of seven tools, newest first."""
    return [api.make("/tools", name=f"t{n}")["id"] for n in range(COUNT)][::-1]


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [item["id"] for item in answer.json]


def link(answer: Answer) -> str | None:
    """Where the next page is, from the `Link` header."""
    if "link" not in answer.headers:
        return None
    found = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["link"])
    assert found is not None
    return found[1]


def walk(api: Api, path: str | None) -> list[list[str]]:
    """The ids on every page, found by following `Link`."""
    pages = []
    while path is not None:
        answer = api.get(path)
        pages.append(ids(answer))
        assert ("x-next-cursor" in answer.headers) == ("link" in answer.headers)
        path = link(answer)
        assert len(pages) < 20
    return pages


@pytest.mark.parametrize(
    "first", ["?limit=3", "?page_size=3", "?page=1&page_size=3", "?offset=0&limit=3", "?skip=0&limit=3"]
)
def test_links_lead_through_the_whole_list(api: Api, made: list[str], first: str) -> None:
    assert walk(api, f"/tools{first}") == [made[0:3], made[3:6], made[6:7]]


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8, 100])
def test_pages_of_any_size(api: Api, made: list[str], size: int) -> None:
    pages = walk(api, f"/tools?limit={size}")
    assert [*chain(*pages)] == made
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert pages[-1]


@pytest.mark.parametrize(
    "form",
    [
        lambda n: f"?page={n + 1}&page_size=2",
        lambda n: f"?offset={2 * n}&limit=2",
        lambda n: f"?skip={2 * n}&limit=2",
    ],
)
def test_counting_forms_cover_every_item_once(api: Api, made: list[str], form: Callable[[int], str]) -> None:
    pages = [ids(api.get(f"/tools{form(n)}")) for n in range(5)]
    assert pages == [made[0:2], made[2:4], made[4:6], made[6:7], []]


def test_cursors_lead_through_the_whole_list(api: Api, made: list[str]) -> None:
    found, answer = [], api.get("/tools?limit=2")
    while True:
        found += ids(answer)
        if (following := answer.headers.get("x-next-cursor")) is None:
            break
        answer = api.get(f"/tools?limit=2&cursor={following}")
    assert found == made


def test_defaults(api: Api, store: TenantStore) -> None:
    runs.copies(store, api.make("/tools", name="t"), 100)
    sizes = {"": 50, "?offset=0": 50, "?skip=0": 100, "?page=1": 10, "?page_size=5": 5, "?limit=100": 100}
    for query, size in sizes.items():
        answer = api.get(f"/tools{query}")
        assert len(answer.json) == size
        assert "link" in answer.headers


def test_end_of_the_list_has_no_next_page(api: Api, made: list[str]) -> None:
    for query in ("", f"?limit={COUNT}", "?offset=4", "?offset=7", "?page=9"):
        assert "link" not in api.get(f"/tools{query}").headers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("offset=-1", "offset"),
        ("offset=10001", "offset"),
        ("skip=10001", "skip"),
        ("page=0", "page"),
        ("page_size=0", "page_size"),
        ("page_size=101", "page_size"),
        ("page=10001", "page"),
        ("page=1002", "page"),
        ("page=102&page_size=100", "page"),
        ("limit=99999999999999999999", "limit"),
    ],
)
def test_pages_that_do_not_exist(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/tools?{query}")
    assert answer.status == 422
    assert answer.json["errors"][0]["loc"] == ["query", field]


@pytest.mark.parametrize("query", ["offset=10000", "skip=10000", "page=1001", "page=101&page_size=100"])
def test_last_offset_that_is_counted(api: Api, made: list[str], query: str) -> None:
    assert ids(api.get(f"/tools?{query}")) == []


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "!",
        "a",
        "ü",
        "a" * 513,
        "%00",
        encoded(b"\xff"),
        encoded(b"a\x00"),
        encoded(b"a\n"),
        "YQ==YQ",
        "A A",
        "+/+/",
    ],
)
def test_cursors_that_were_never_ours(api: Api, given: str) -> None:
    answer = api.get(f"/tools?cursor={given}")
    assert (answer.status, answer.code) == (400, "invalid_cursor")


@pytest.mark.parametrize("sort", ["~", "0", "TENANT#tenant_a#TOOL", "z" * 380])
def test_cursors_that_somebody_made_up_point_into_ones_own_list(
    api: Api, other: Api, made: list[str], sort: str
) -> None:
    theirs = other.make("/tools", name="theirs")["id"]
    assert set(ids(api.get(f"/tools?cursor={cursor.encode(sort)}"))) <= set(made)
    assert set(ids(other.get(f"/tools?cursor={cursor.encode(sort)}"))) <= {theirs}


def test_cursor_of_another_tenant_points_into_ones_own_list(api: Api, other: Api, made: list[str]) -> None:
    older = other.make("/tools", name="theirs")["id"]
    foreign = api.get("/tools?limit=1").headers["x-next-cursor"]
    assert ids(other.get(f"/tools?cursor={foreign}")) == []
    newest = cursor.encode("~")
    assert ids(other.get(f"/tools?cursor={newest}")) == [older]


def test_cursor_wins_over_counting(api: Api, made: list[str]) -> None:
    following = api.get("/tools?limit=2").headers["x-next-cursor"]
    assert ids(api.get(f"/tools?cursor={following}&offset=3&page=2&limit=2")) == made[2:4]


def test_list_that_changes_between_pages(api: Api, made: list[str]) -> None:
    first = api.get("/tools?limit=3")
    new = api.make("/tools", name="new")["id"]
    for gone in (made[2], made[3]):
        api.delete(f"/tools/{gone}")
    assert ids(api.get(str(link(first)))) == made[4:7]
    assert ids(api.get("/tools"))[0] == new


def test_link_keeps_the_rest_of_the_query(api: Api) -> None:
    made = [api.make("/api-keys")["id"] for _ in range(5)][::-1]
    for key_id in made[1:4]:
        api.delete(f"/api-keys/{key_id}")
    assert [*chain(*walk(api, "/api-keys?include_revoked=true&limit=2"))] == made
    assert [*chain(*walk(api, "/api-keys?limit=1"))] == [made[0], made[4]]


@pytest.mark.parametrize("path", ["/agents", "/tools", "/api-keys", "/runs"])
def test_empty_lists(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status, answer.json) == (200, [])
    assert "link" not in answer.headers


def test_pages_of_events(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api, runs.internal(api))
    model.asks(*(call("echo", {"text": "x"}, id=f"c{n}") for n in range(4))).says("done")
    run = runs.start(api)
    everything = runs.events(api, run["id"])
    assert len(everything) == 14
    path = f"/runs/{run['id']}/events"
    for limit in (5, 13, 14, 15):
        found: list[Any] = []
        following: str | None = f"{path}?limit={limit}"
        while following is not None:
            answer = api.get(following)
            assert len(answer.json) <= limit
            found += answer.json
            following = link(answer)
        assert found == everything
    for after in (0, 2, 13, 14, 15):
        assert api.get(f"{path}?after={after}&limit=3").json == everything[after : after + 3]


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1000001", "limit=0", "limit=101"])
def test_pages_of_events_that_do_not_exist(api: Api, query: str) -> None:
    assert api.get(f"/runs/x/events?{query}").status == 422


def test_events_of_an_unknown_run(api: Api) -> None:
    for run_id in ("x", "01900000-0000-7000-8000-000000000000", "x" * 3_000, "%23", "..%2F"):
        assert api.get(f"/runs/{run_id}/events").status == 404
        assert api.get(f"/runs/{run_id}").status == 404
