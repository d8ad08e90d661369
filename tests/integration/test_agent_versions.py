"""Versions of agents on the real machine: what runs use, and what is left when many publish at once."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.neighbours import MODEL, Neighbours, says

_number = itertools.count()
WORKERS = 16


@pytest.fixture
def ran(api: httpx.Client, neighbours: Neighbours) -> Callable[[str], tuple[str, list[str], int]]:
    """Runs an agent of `made`: its instructions and its tools as the model saw them, and its version in the run."""

    def run(agent: str) -> tuple[str, list[str], int]:
        neighbours.script[agent] = [says("done")]
        answer = api.post("/runs", json={"agent_id": agent, "input_message": "go"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["status"] == "succeeded", answer.text
        _, seen = neighbours.seen[MODEL][-1]
        tools = [tool["function"]["name"] for tool in seen.get("tools", [])]
        return seen["messages"][0]["content"], tools, answer.json()["agent_version"]

    return run


@pytest.fixture
def made(api: httpx.Client) -> Callable[..., str]:
    """Makes an agent with a model of its own; returns its name."""

    def make(**fields: Any) -> str:
        name = f"versions_{next(_number)}"
        body = {"name": name, "model": f"custom:{name}", "system_prompt": "one"} | fields
        assert api.post("/agents", json=body).status_code == 201
        return name

    return make


def post(client: httpx.Client, path: str, body: Any = None, status: int = 200) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def versions(client: httpx.Client, agent: str) -> list[dict[str, Any]]:
    answer = client.get(f"/agents/{agent}/versions", params={"limit": 100})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


@pytest.fixture
def crowd(platform: Runtime, api: httpx.Client) -> Iterator[httpx.Client]:
    """The API for many threads at once."""
    limits = httpx.Limits(max_connections=WORKERS)
    with httpx.Client(base_url=platform.url, headers=dict(api.headers), timeout=60, limits=limits) as client:
        yield client


@pytest.mark.covers(
    "POST /agents/{agent_ref}/publish",
    "POST /agents/{agent_ref}/versions/{version}/activate",
    "POST /agents/{agent_ref}/deploy",
    "POST /agents/{agent_ref}/undeploy",
)
def test_runs_use_what_was_published_activated_or_deployed(
    api: httpx.Client, made: Callable[..., str], ran: Callable[[str], Any]
) -> None:
    agent = made()
    path = f"/agents/{agent}"
    tools = [f"{agent}_{n}" for n in range(2)]
    for tool in tools:
        post(api, "/tools", {"name": tool, "endpoint": "https://tools.example.com/"}, 201)
    post(api, f"{path}/tools/{tools[0]}", status=201)
    first = post(api, f"{path}/publish")["current_version"]
    assert api.patch(path, json={"system_prompt": "two"}).status_code == 200
    post(api, f"{path}/tools/{tools[1]}", status=201)
    assert ran(agent) == ("one", tools[:1], first)
    second = post(api, f"{path}/publish")["current_version"]
    assert ran(agent) == ("two", tools, second)
    post(api, f"{path}/versions/{first}/activate")
    assert ran(agent) == ("one", tools[:1], first)
    post(api, f"{path}/deploy", {"version": second})
    api.patch(path, json={"system_prompt": "three"})
    third = post(api, f"{path}/publish")["current_version"]
    assert ran(agent) == ("two", tools, second)
    assert post(api, f"{path}/undeploy")["deployment"] == "none"
    assert ran(agent) == ("three", tools, third)
    assert [version["version"] for version in versions(api, agent)] == [third, second, first]
    assert api.patch(path, json={"status": "archived"}).status_code == 200
    refused = api.post("/runs", json={"agent_id": agent, "input_message": "go"})
    assert (refused.status_code, refused.json()["code"]) == (409, "agent_archived")


@pytest.mark.covers("GET /agents/{agent_ref}/versions", "GET /agents/{agent_ref}/versions/{version}")
def test_a_version_does_not_change(api: httpx.Client, made: Callable[..., str]) -> None:
    agent = made(status="published", description="at first")
    post(api, f"/agents/{agent}/publish")
    before = versions(api, agent)
    assert [version["version"] for version in before] == [2, 1]
    api.put(f"/agents/{agent}", json={"name": f"{agent} renamed", "description": "later"})
    assert versions(api, f"{agent} renamed") == before
    for version in before:
        assert api.get(f"/agents/{agent} renamed/versions/{version['version']}").json() == version
        assert version["description"] == "at first"
    assert api.get(f"/agents/{agent} renamed/versions/3").status_code == 404


def test_publishing_at_once_loses_no_version(crowd: httpx.Client, made: Callable[..., str]) -> None:
    agent = made()
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: crowd.post(f"/agents/{agent}/publish"), range(48)))
    done = [answer.json() for answer in answers if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 409}
    kept = versions(crowd, agent)
    assert sorted(version["id"] for version in kept) == sorted(each["current_version_id"] for each in done)
    assert sorted(version["version"] for version in kept) == list(range(2, 2 + len(done)))
    assert crowd.get(f"/agents/{agent}").json()["current_version"] == 1 + len(done)


def test_of_publishes_on_one_version_exactly_one_succeeds(crowd: httpx.Client, made: Callable[..., str]) -> None:
    agent = made()
    with ThreadPoolExecutor(WORKERS) as pool:
        send = lambda _: crowd.post(f"/agents/{agent}/publish", headers={"If-Match": "1"})  # noqa: E731
        answers = list(pool.map(send, range(32)))
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 31}
    assert len(versions(crowd, agent)) == 1


def test_a_version_published_while_tools_come_and_go_holds_what_the_agent_held(
    crowd: httpx.Client, made: Callable[..., str]
) -> None:
    """Tools are bound one after another: so each version holds the first few of them, and later ones no fewer."""
    agent = made()
    tools = [
        post(crowd, "/tools", {"name": f"{agent}_{n}", "endpoint": "https://tools.example.com/"}, 201)["id"]
        for n in range(20)
    ]
    with ThreadPoolExecutor(4) as pool:
        published = [pool.submit(lambda: [crowd.post(f"/agents/{agent}/publish") for _ in range(12)]) for _ in range(3)]
        for tool in tools:
            post(crowd, f"/agents/{agent}/tools/{tool}", status=201)
        assert {answer.status_code for each in published for answer in each.result()} <= {200, 409}
    held = [[binding["tool_id"] for binding in version["bindings"]] for version in versions(crowd, agent)]
    assert held
    assert all(bound == tools[: len(bound)] for bound in held)
    assert [len(bound) for bound in held] == sorted((len(bound) for bound in held), reverse=True)


@pytest.mark.parametrize("verb", ["publish", "clone", "deploy"])
@pytest.mark.covers("POST /agents/{agent_ref}/clone")
def test_100_duplicates_with_one_idempotency_key_have_one_effect(
    crowd: httpx.Client, made: Callable[..., str], verb: str
) -> None:
    agent = made(status="published")
    before = crowd.get(f"/agents/{agent}").json()
    headers = {"Idempotency-Key": f"{agent} {verb}"}
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: crowd.post(f"/agents/{agent}/{verb}", headers=headers), range(100)))
    assert {answer.status_code for answer in answers} <= {200, 201, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"in_flight"}
    assert len({answer.text for answer in answers if answer.is_success}) == 1
    after = crowd.get(f"/agents/{agent}").json()
    copies = crowd.get("/agents", params={"q": f"{agent} (copy"}).json()
    changed = {"publish": 1, "deploy": 1, "clone": 0}[verb]
    assert after["version"] == before["version"] + changed
    assert len(versions(crowd, agent)) == (2 if verb == "publish" else 1)
    assert len(copies) == (1 if verb == "clone" else 0)


def test_copies_made_at_once_have_names_of_their_own(crowd: httpx.Client, made: Callable[..., str]) -> None:
    agent = made()
    with ThreadPoolExecutor(WORKERS) as pool:
        answers = list(pool.map(lambda _: crowd.post(f"/agents/{agent}/clone"), range(24)))
    assert {answer.status_code for answer in answers} == {201}
    names = {answer.json()["name"] for answer in answers}
    assert names == {f"{agent} (copy)", *(f"{agent} (copy {n})" for n in range(2, 25))}


@pytest.mark.covers("POST /agents/{agent_ref}/run", "POST /agents/{agent_ref}/interact")
def test_an_agent_is_run_at_its_own_address(
    api: httpx.Client, made: Callable[..., str], neighbours: Neighbours
) -> None:
    agent = made(status="published")
    neighbours.script[agent] = [says("done"), says("Hello Ada"), says("You are Ada")]
    run = post(api, f"/agents/{agent}/run", {"task": "go"}, 201)
    assert (run["status"], run["input_message"], run["output_message"]) == ("succeeded", "go", "done")
    first = post(api, f"/agents/{agent}/interact", {"message": "I am Ada"}, 201)
    again = {"message": "Who am I?", "session_id": first["session_id"]}
    second = post(api, f"/agents/{agent}/interact", again, 201)
    assert (second["output_message"], second["session_id"]) == ("You are Ada", first["session_id"])
    _, seen = neighbours.seen[MODEL][-1]
    assert [message["content"] for message in seen["messages"]] == ["one", "I am Ada", "Hello Ada", "Who am I?"]


@pytest.mark.covers("GET /agents")
def test_agents_are_found_by_tool_status_and_name(api: httpx.Client, made: Callable[..., str]) -> None:
    tool = post(api, "/tools", {"name": "versions_found", "endpoint": "https://tools.example.com/"}, 201)["id"]
    names = [made(tool_ids=[tool], status="published" if n % 2 else "draft") for n in range(4)]
    made()

    def found(**query: Any) -> list[str]:
        pages, path = [], f"/agents?{httpx.QueryParams(query)}"
        while path:
            answer = api.get(path)
            assert answer.status_code == 200, answer.text
            pages += [agent["name"] for agent in answer.json()]
            path = answer.links["next"]["url"] if "next" in answer.links else ""
        return pages

    assert found(tool_name="versions_found", limit=1) == names[::-1]
    assert found(tool_name="versions_found", status="published", page=1, page_size=1) == [names[3], names[1]]
    assert found(tool_name="versions_found", q=names[2], kind="llm") == [names[2]]
    assert found(q=names[0]) == [name for name in found(q="versions_", limit=2) if name.startswith(names[0])]
    assert found(tool_name="versions_lost") == []
