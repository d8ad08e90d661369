"""Filters of the list of agents, with every form of paging."""

from itertools import chain
from typing import Any

import pytest

from shared.store import cursor, keys, listing
from shared.store.table import Remove, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.gateway import Answer, Api

pytestmark = pytest.mark.covers("GET /agents")

FORMS = ["limit=2", "page_size=2", "page=1&page_size=2", "offset=0&limit=2", "skip=0&limit=2"]


@pytest.fixture
def shop(api: Api) -> None:
    """Nine agents: every third with the tool `echo`, every second published, `a0` to `a8` and one named like a tool."""
    tool_id = runs.internal(api)
    for n in range(9):
        status = "published" if n % 2 else "draft"
        api.make("/agents", name=f"a{n}", status=status, tool_ids=[tool_id] if n % 3 == 0 else [])
    api.patch("/agents/a8", {"status": "archived"})
    api.make("/agents", name="echo")


def names(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.text
    return [agent["name"] for agent in answer.json]


def pages(api: Api, query: str) -> list[list[str]]:
    """The names on every page, found by following `Link`."""
    found, path = [], f"/agents?{query}"
    while path:
        answer = api.get(path)
        found.append(names(answer))
        assert len(found) < 20
        path = answer.headers["link"][1:].partition(">")[0] if "link" in answer.headers else ""
    return found


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("tool_name=echo", ["a6", "a3", "a0"]),
        ("status=published", ["a7", "a5", "a3", "a1"]),
        ("status=archived", ["a8"]),
        ("status=ready", []),
        ("kind=llm&status=draft", ["echo", "a6", "a4", "a2", "a0"]),
        ("kind=code", []),
        ("q=a", [f"a{n}" for n in range(9)]),
        ("q=a1", ["a1"]),
        ("q=A", []),
        ("q=e&kind=llm", ["echo"]),
        ("q=a&status=draft", ["a0", "a2", "a4", "a6"]),
        ("tool_name=echo&status=draft", ["a6", "a0"]),
        ("tool_name=echo&q=a3", ["a3"]),
        ("tool_name=echo&q=a&status=draft&kind=llm", ["a6", "a0"]),
        ("tool_name=nothing", []),
        ("tool_name=a0", []),
    ],
)
def test_pages_lead_through_the_filtered_list(api: Api, query: str, wanted: list[str], form: str) -> None:
    found = pages(api, f"{query}&{form}")
    assert [*chain(*found)] == wanted
    assert all(len(page) == 2 for page in found[:-1])


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("query", ["q=a", "status=published", "tool_name=echo", "q=a&status=draft"])
def test_counting_covers_every_agent_once(api: Api, query: str) -> None:
    whole = names(api.get(f"/agents?{query}&limit=100"))
    for form in ("page={0}&page_size=2", "offset={1}&limit=2", "skip={1}&limit=2"):
        found = [names(api.get(f"/agents?{query}&{form.format(n + 1, 2 * n)}")) for n in range(6)]
        assert [*chain(*found)] == whole


def test_counting_goes_on_where_a_cursor_would_stop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page by cursor may be short. One that is counted must not be, else the next would begin too far on."""
    monkeypatch.setattr(listing, "MAX_READ", 3)
    monkeypatch.setattr(listing, "_SOME", 1)
    for n in range(10):
        api.make("/agents", name=f"a{n}", status="published" if n % 4 == 1 else "draft")
    assert pages(api, "q=a&status=published&limit=2") != [["a1", "a5"], ["a9"]]
    assert [*chain(*pages(api, "q=a&status=published&limit=2"))] == ["a1", "a5", "a9"]
    assert names(api.get("/agents?q=a&status=published&page=1&page_size=2")) == ["a1", "a5"]
    assert names(api.get("/agents?q=a&status=published&page=2&page_size=2")) == ["a9"]
    assert names(api.get("/agents?q=a&status=published&offset=1&limit=2")) == ["a5", "a9"]


def test_counting_that_finds_too_little_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_READ", 1)
    for n in range(12):
        api.make("/agents", name=f"a{n}")
    answer = api.get("/agents?q=a&status=published&page=1&page_size=1")
    assert (answer.status, answer.json["errors"][0]["type"]) == (422, "offset_too_large")
    first = api.get("/agents?q=a&status=published&limit=1")
    assert (names(first), "x-next-cursor" in first.headers) == ([], True)


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "field"),
    [("status=live", "status"), ("kind=x", "kind"), ("q=", "q"), ("q=" + "x" * 201, "q"), ("tool_name=", "tool_name")],
)
def test_filters_that_are_refused(api: Api, query: str, field: str) -> None:
    answer = api.get(f"/agents?{query}")
    assert answer.status == 422
    assert answer.json["errors"][0]["loc"] == ["query", field]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("query", ["q=a", "tool_name=echo", "status=draft", "q=a&status=draft"])
@pytest.mark.parametrize("sort", ["0", "a", "a4", "a4x", "b", "~", "z" * 300])
def test_cursors_that_somebody_made_up_stay_in_the_list(api: Api, query: str, sort: str) -> None:
    whole = names(api.get(f"/agents?{query}&limit=100"))
    found = names(api.get(f"/agents?{query}&limit=100&cursor={cursor.encode(sort)}"))
    assert found == whole[len(whole) - len(found) :]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("query", ["q=a", "tool_name=echo", "status=draft"])
def test_nothing_of_another_tenant(api: Api, other: Api, query: str) -> None:
    assert names(other.get(f"/agents?{query}")) == []
    following = api.get(f"/agents?{query}&limit=1").headers["x-next-cursor"]
    assert names(other.get(f"/agents?{query}&cursor={following}")) == []


@pytest.mark.parametrize(("name", "q"), [("Ängste", "Än"), ("Ängste", "A\u0308n"), ("100% tea", "100%"), ("a b", "a ")])
def test_prefixes_of_all_characters(api: Api, name: str, q: str) -> None:
    api.make("/agents", name=name)
    api.make("/agents", name="other")
    assert names(api.get(f"/agents?q={q}")) == [name]


def test_agent_that_is_gone_is_left_out(api: Api, store: TenantStore) -> None:
    """Deleted between the index and its look-up: the index still names it."""
    runs.agent(api, runs.internal(api))
    agent_id = runs.agent(api, api.get("/tools/echo").json["id"], name="second")
    store.write(Remove(keys.agent(agent_id)))
    assert names(api.get("/agents?tool_name=echo")) == ["support"]
    assert names(api.get("/agents?q=s")) == ["support"]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "taken"),
    [
        # Both kinds can be drafts.
        ("status=draft", ["Query", "Query", "BatchGetItem"]),
        ("status=published", ["Query", "BatchGetItem"]),
        ("status=draft&kind=llm", ["Query", "BatchGetItem"]),
        ("kind=llm", ["Query", "Query", "Query", "BatchGetItem"]),
        ("status=ready", ["Query"]),
        ("kind=code", ["Query"] * 5),
        ("", ["Query"]),
        ("q=a", ["Query", "BatchGetItem"]),
        ("q=x", ["Query"]),
        ("tool_name=echo", ["GetItem", "Query", "BatchGetItem"]),
        ("tool_name=nothing", ["GetItem"]),
        ("q=a&tool_name=echo&status=draft", ["GetItem", "Query", "BatchGetItem"]),
    ],
)
def test_requests(api: Api, requests: Requests, query: str, taken: list[str]) -> None:
    assert requests.of(lambda: api.get(f"/agents?{query}")) == taken


@pytest.mark.parametrize(
    ("prefix", "end"), [("a", "b"), ("az", "a{"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None)]
)
def test_what_stands_behind_a_prefix(prefix: str, end: Any) -> None:
    assert keys.behind_prefix(prefix) == end
