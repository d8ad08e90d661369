"""Lists of runs by agent, session, status, kind and time, in all paging forms."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest

from shared.domain.run_records import of_item
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import Put, Remove, TenantStore
from tests.unit.conftest import Requests
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel

pytestmark = [pytest.mark.usefixtures("machine"), pytest.mark.covers("GET /runs")]


@pytest.fixture
def made(api: Api, model: ScriptedModel) -> list[dict[str, Any]]:
    """Nine runs, oldest first: two agents in turn, a session of every third, every fourth fails; then a tool's."""
    runs.agent(api)
    runs.agent(api, name="sales")
    found = []
    for n in range(9):
        if n % 4 == 3:
            model.fails(401)
        else:
            model.says(f"answer {n}")
        session = {"session_id": "s-1"} if n % 3 == 0 else {}
        found.append(runs.start(api, f"question {n}", agent_id=("support", "sales")[n % 2], **session))
    found.append(api.post(f"/tools/{runs.internal(api)}/execute", {"args": {"text": "x"}}).json)
    return found


def listed(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"/runs?{query}")
    assert answer.status == 200, answer.text
    return [run["id"] for run in answer.json]


def ids(made: list[dict[str, Any]], *numbers: int) -> list[str]:
    return [made[n]["id"] for n in sorted(numbers, reverse=True)]


def test_by_agent(api: Api, made: list[dict[str, Any]]) -> None:
    assert listed(api, "agent_id=sales") == ids(made, 1, 3, 5, 7)
    assert listed(api, f"agent_id={made[0]['agent_id']}") == ids(made, 0, 2, 4, 6, 8)
    for nobody in ("nobody", new_id(), quote("a name of nobody")):
        assert listed(api, f"agent_id={nobody}") == []


def test_runs_of_an_agent_outlive_it(api: Api, made: list[dict[str, Any]]) -> None:
    api.delete("/agents/sales")
    assert listed(api, f"agent_id={made[1]['agent_id']}") == ids(made, 1, 3, 5, 7)
    assert listed(api, "agent_id=sales") == []


def test_by_session(api: Api, made: list[dict[str, Any]]) -> None:
    assert listed(api, "session_id=s-1") == ids(made, 0, 3, 6)
    assert listed(api, f"session_id={made[1]['id']}") == ids(made, 1)
    for nobody in ("s-2", new_id(), made[0]["id"]):
        assert listed(api, f"session_id={nobody}") == []


def test_session_that_was_joined_lists_its_first_run_too(
    api: Api, made: list[dict[str, Any]], model: ScriptedModel
) -> None:
    model.says("again")
    joined = runs.start(api, session_id=made[1]["id"])
    assert listed(api, f"session_id={made[1]['id']}") == [joined["id"], made[1]["id"]]


def test_by_status_and_kind(api: Api, made: list[dict[str, Any]]) -> None:
    assert listed(api, "status=failed") == ids(made, 3, 7)
    assert listed(api, "status=running") == []
    assert listed(api, "kind=tool") == ids(made, 9)
    assert listed(api, "kind=llm") == ids(made, *range(9))
    assert listed(api, "kind=workflow") == []


def test_overdue_run_is_found_as_timed_out(api: Api, machine: Machine, travel: Callable[[float], None]) -> None:
    runs.agent(api)
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    travel(131)
    assert listed(api, "status=running") == []
    assert listed(api, "status=timed_out") == [run["id"]]


def test_run_whose_record_was_written_over_by_its_own_beginning_is_mended(
    api: Api, machine: Machine, model: ScriptedModel, store: TenantStore, travel: Callable[[float], None]
) -> None:
    """The request that begins a run was sent twice, and one of them came behind the end."""
    model.says("done")
    runs.agent(api)
    machine.waits = False
    run = api.post("/runs", {"agent_id": "support", "input_message": "Hi"}).json
    begun = store.get(keys.run(run["id"]))
    assert begun is not None
    machine.execute(machine.pointers[0])
    ended = api.get(f"/runs/{run['id']}").json
    assert ended["status"] == "succeeded"
    begun_run = of_item(begun)
    store.write(Put(keys.run(run["id"]), begun.doc, when=None, lists=begun_run.lists))
    assert listed(api, "status=running") == [run["id"]]
    travel(131)
    mended = api.get(f"/runs/{run['id']}").json
    told = {name for name in ended if ended[name] != mended[name]} - {"finished_at", "updated_at"}
    assert (told, mended["status"]) == (set(), "succeeded")
    assert listed(api, "status=succeeded") == [run["id"]]
    assert listed(api, "status=timed_out") == []


def test_run_whose_beginning_was_cut_short_is_in_no_list(
    api: Api, made: list[dict[str, Any]], store: TenantStore
) -> None:
    store.write(Remove(keys.run(made[3]["id"])))
    assert listed(api, "agent_id=sales") == ids(made, 1, 5, 7)


@pytest.mark.parametrize(
    ("query", "taken"),
    [
        ("status=succeeded", ["Query"] * 3 + ["BatchGetItem"]),
        ("status=succeeded&kind=llm", ["Query", "BatchGetItem"]),
        ("kind=tool", ["Query"] * 7 + ["BatchGetItem"]),
        ("status=failed&since=2999-01-01", ["Query"] * 3),
        ("kind=workflow", []),
        ("agent_id=sales&status=failed", ["GetItem", "Query", "BatchGetItem"]),
    ],
)
def test_requests(api: Api, made: list[dict[str, Any]], requests: Requests, query: str, taken: list[str]) -> None:
    assert requests.of(lambda: api.get(f"/runs?{query}")) == taken


@pytest.mark.parametrize("by", ["", "agent_id=support&", "session_id=s-1&", "status=succeeded&"])
def test_by_time_both_ends_included(api: Api, made: list[dict[str, Any]], by: str) -> None:
    all_of = listed(api, by)
    times = {run["id"]: run["created_at"] for run in made}
    for since in range(0, 9, 4):
        for until in range(since, 10, 4):
            low, high = made[since]["created_at"], made[until]["created_at"]
            expected = [run_id for run_id in all_of if low <= times[run_id] <= high]
            assert listed(api, f"{by}since={low}&until={high}") == expected
            assert listed(api, f"{by}since={low}") == [run_id for run_id in all_of if low <= times[run_id]]
            assert listed(api, f"{by}until={high}") == [run_id for run_id in all_of if times[run_id] <= high]
    assert listed(api, f"{by}since=2999-01-01") == listed(api, f"{by}until=1999-01-01T00:00:00Z") == []
    assert listed(api, f"{by}since=1999-01-01T00:00:00+02:00&until=2999-01-01") == all_of


def test_only_run_of_its_session_is_found_by_time(api: Api, made: list[dict[str, Any]]) -> None:
    by = f"session_id={made[1]['id']}"
    assert listed(api, f"{by}&since={made[1]['created_at']}&until={made[1]['created_at']}") == ids(made, 1)
    assert listed(api, f"{by}&since=2999-01-01") == listed(api, f"{by}&until=1999-01-01") == []


def test_filters_together(api: Api, made: list[dict[str, Any]]) -> None:
    assert listed(api, "agent_id=sales&status=failed&kind=llm") == ids(made, 3, 7)
    assert listed(api, "agent_id=sales&session_id=s-1") == ids(made, 3)
    assert listed(api, f"session_id=s-1&status=succeeded&since={made[1]['created_at']}") == ids(made, 6)


@pytest.mark.parametrize(
    "field", ["status=done", "kind=agent", "since=yesterday", "until=9999-12-31", "since=0001-01-01"]
)
def test_bad_filters(api: Api, field: str) -> None:
    answer = api.get(f"/runs?{field}")
    assert (answer.status, answer.json["errors"][0]["loc"]) == (422, ["query", field.partition("=")[0]])


def pages(api: Api, query: str, size: int) -> Iterator[list[str]]:
    path = f"/runs?{query}limit={size}"
    while path:
        answer = api.get(path)
        yield [run["id"] for run in answer.json]
        path = unquote(answer.headers.get("link", "").partition(">")[0].removeprefix("<"))


@pytest.mark.parametrize(
    "query", ["", "agent_id=support&", "session_id=s-1&", "kind=llm&", "status=succeeded&agent_id=sales&"]
)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_by_cursor(api: Api, made: list[dict[str, Any]], query: str, size: int) -> None:
    found = list(pages(api, query, size))
    assert [run_id for page in found for run_id in page] == listed(api, query)
    assert all(len(page) == size for page in found[:-1])


def test_pages_by_time_and_cursor(api: Api, made: list[dict[str, Any]]) -> None:
    query = f"since={made[2]['created_at']}&until={made[8]['created_at']}&"
    assert [run_id for page in pages(api, query, 2) for run_id in page] == listed(api, query)


@pytest.mark.parametrize("form", ["page={n}&page_size=2", "offset={o}&limit=2", "skip={o}&limit=2"])
@pytest.mark.parametrize("query", ["agent_id=support", "status=succeeded", "session_id=s-1"])
def test_pages_by_number(api: Api, made: list[dict[str, Any]], query: str, form: str) -> None:
    found: list[str] = []
    for n in range(5):
        found += listed(api, f"{query}&{form.format(n=n + 1, o=2 * n)}")
    assert found == listed(api, query)


def test_foreign_runs_are_not_listed(other: Api, made: list[dict[str, Any]]) -> None:
    for query in (
        "",
        f"agent_id={made[0]['agent_id']}",
        "session_id=s-1",
        f"session_id={made[1]['id']}",
        "status=failed",
    ):
        assert listed(other, query) == []


def test_created_at_is_when_the_id_was_made(api: Api, made: list[dict[str, Any]]) -> None:
    """So that the conditions on the key hold for what is shown."""
    from shared import clock
    from shared.store.ids import made_at

    assert all(run["created_at"] == clock.iso(made_at(run["id"])) for run in made)
