"""Streams over HTTP: watched by several, broken off and resumed, left alone, and up to their end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.integration.neighbours import Neighbours, asks, says, talks, tells
from tests.unit.support.stream import events_in

pytestmark = pytest.mark.covers("POST /runs/stream", "GET /runs/{run_id}/stream")

Event = tuple[int, str, Any]
ENDS = {"result", "error", "cancelled"}
_number = iter(range(10_000))


@pytest.fixture
def agent(api: httpx.Client, neighbours: Neighbours) -> Callable[..., str]:
    """Makes an agent whose model follows a script; its name."""

    def make(*script: Any, tool_ids: tuple[str, ...] = ()) -> str:
        name = f"streamed_{next(_number)}"
        neighbours.script[name] = list(script)
        made = api.post("/agents", json={"name": name, "model": f"custom:{name}", "tool_ids": tool_ids})
        assert made.status_code == 201, made.text
        return name

    return make


def frames(response: httpx.Response) -> Iterator[Event]:
    """The events of an answer as they come."""
    text = ""
    for piece in response.iter_text():
        text += piece
        whole, _, text = text.rpartition("\n\n")
        yield from events_in(f"{whole}\n\n")


@contextmanager
def started(api: httpx.Client, agent: str, **fields: Any) -> Iterator[httpx.Response]:
    with api.stream("POST", "/runs/stream", json={"agent_id": agent, "input_message": "go"} | fields) as response:
        assert response.status_code == 200, response.read()
        yield response


def rest(api: httpx.Client, run_id: str, after: int = 0) -> list[Event]:
    """What a client sees that joins behind an event and stays to the end."""
    with api.stream("GET", f"/runs/{run_id}/stream", headers={"Last-Event-ID": str(after)}) as response:
        assert response.status_code == 200, response.read()
        return list(frames(response))


def whole(events: list[Event]) -> bool:
    """Every event once, in order, and exactly one end, which comes last."""
    numbers = [number for number, _, _ in events]
    return numbers == list(range(1, len(events) + 1)) and [n for n, name, _ in events if name in ENDS] == numbers[-1:]


def test_a_run_is_streamed_to_its_end(api: httpx.Client, agent: Callable[..., str]) -> None:
    with started(api, agent(says("Good morning"))) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        events = list(frames(response))
    assert whole(events)
    start, *_, (_, name, result) = events
    assert start[1:] == ("start", start[2] | {"trace_id": response.headers["X-Trace-Id"]})
    assert (name, result["output"], result["tokens"]["total_tokens"]) == ("result", "Good morning", 15)
    logged = api.get(f"/runs/{start[2]['run_id']}/events", params={"limit": 100}).json()
    assert [(event["id"], event["event"], event["data"]) for event in logged] == events


def test_a_tool_is_seen_at_work_and_its_errors_too(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    ids = []
    for path in ("/tool/echo", "/tool/broken"):
        tool = {"name": f"streamed_tool_{next(_number)}", "endpoint": f"{neighbours.url}{path}"}
        ids.append(api.post("/tools", json=tool).json())
    calls = asks(*((tool["name"], {"n": 1}) for tool in ids))
    with started(api, agent(calls, says("done"), tool_ids=tuple(tool["id"] for tool in ids))) as response:
        events = list(frames(response))
    assert whole(events)
    names = [name for _, name, _ in events]
    assert names.count("tool.started") == 2
    assert [data["code"] for _, name, data in events if name == "tool.error"] == ["http_500"]
    assert names.count("tool.completed") == 1
    assert names[-1] == "result"


def test_a_model_that_fails_ends_the_stream_with_an_error(api: httpx.Client, agent: Callable[..., str]) -> None:
    with started(api, agent(400)) as response:
        events = list(frames(response))
    assert whole(events)
    assert events[-1][1] == "error"
    assert "refused" in events[-1][2]["error"]


def test_nobody_can_speak_for_the_gateway(
    api: httpx.Client, other_api: httpx.Client, agent: Callable[..., str]
) -> None:
    with started(api, agent(says("mine"))) as response:
        run_id = next(frames(response))[2]["run_id"]
    mine = api.get(f"/runs/{run_id}").json()
    said = f'{{"resourcePath": "/runs/{{run_id}}/stream", "authorizer": {{"tenant_id": "{mine["tenant_id"]}"}}}}'
    for name in ("x-amzn-request-context", "X-Amzn-Request-Context", "x-amzn-lambda-context", "x-amz-tenant-id"):
        for value in (said, mine["tenant_id"]):
            answer = other_api.get(f"/runs/{run_id}/stream", headers={name: value})
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            stranger = httpx.get(f"{api.base_url}/runs/{run_id}/stream", headers={name: value}, timeout=35)
            assert stranger.status_code == 401
    assert rest(api, run_id)


def test_a_client_that_leaves_does_not_end_the_run(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    with started(api, agent(says("on its own", gate="until nobody watches"))) as response:
        first = next(frames(response))
    neighbours.gate("until nobody watches").set()
    events = rest(api, first[2]["run_id"])
    assert whole(events)
    assert events[-1][2]["output"] == "on its own"


def test_fifty_streams_at_once(api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours) -> None:
    """No model answers before all are asked."""
    name = agent(*(says(f"answer {n}", gate="fifty") for n in range(50)))

    def watch(_: int) -> list[Event]:
        with started(api, name) as response:
            return list(frames(response))

    with ThreadPoolExecutor(50) as threads:
        watching = threads.map(watch, range(50))
        deadline = time.monotonic() + 60
        while neighbours.asked(name) < 50 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert neighbours.asked(name) == 50
        neighbours.gate("fifty").set()
        streams = list(watching)
    assert all(whole(events) for events in streams)
    assert {events[-1][2]["output"] for events in streams} == {f"answer {n}" for n in range(50)}


def test_a_hundred_duplicates_make_one_run(api: httpx.Client, agent: Callable[..., str]) -> None:
    name = agent(says("once", delay=0.3))
    task = {"agent_id": name, "input_message": "go"}

    def send(_: int) -> tuple[int, str]:
        answer = api.post("/runs/stream", json=task, headers={"Idempotency-Key": f"duplicates of {name}"})
        return answer.status_code, answer.text

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(send, range(100)))
    assert {status for status, _ in answers} <= {200, 409}
    (text,) = {text for status, text in answers if status == 200}
    assert whole(events_in(text))
    agent_id = api.get(f"/agents/{name}").json()["id"]
    assert len([run for run in api.get("/runs", params={"limit": 100}).json() if run["agent_id"] == agent_id]) == 1


# The model's answer as it is made


def deltas(events: list[Event]) -> list[str]:
    return [data["content"] for _, name, data in events if name == "message.delta"]


def test_the_first_words_come_before_the_last_are_said(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    words = [f"word{n} " for n in range(30)]
    with started(api, agent(tells(*words, held=(1, "first words")))) as response:
        incoming = frames(response)
        events = [next(incoming), next(incoming)]
        assert deltas(events) == words[:1]
        neighbours.gate("first words").set()
        events += incoming
    assert whole(events)
    assert "".join(deltas(events)) == "".join(words)
    assert events[-1][2]["output"] == "".join(words)


def test_a_run_of_200_deltas_resumes_at_any_point(api: httpx.Client, agent: Callable[..., str]) -> None:
    # Pieces that come faster than they are written are joined, and a busy machine makes them come so: how many it
    # takes is not known before.
    enough = threading.Event()
    events: list[Event] = []
    with started(api, agent(talks(enough, pause=0.008))) as response:
        for event in frames(response):
            events.append(event)
            if len(deltas(events)) >= 200:
                enough.set()
    assert whole(events)
    assert counted_up(events)
    assert len(deltas(events)) >= 200
    run_id = events[0][2]["run_id"]
    for after in range(len(events) + 2):
        assert rest(api, run_id, after) == events[after:]


def counted_up(events: list[Event]) -> bool:
    """The answer is the numbers from 0, and was told in pieces."""
    said = "".join(deltas(events))
    numbers = said.split()
    return events[-1][2]["output"] == said and numbers == [str(n) for n in range(len(numbers))]


def test_two_clients_one_dropped_and_resumed(api: httpx.Client, agent: Callable[..., str]) -> None:
    """Both see the same events once and in order, wherever the second one was cut off while the run went on."""
    enough = threading.Event()
    with ThreadPoolExecutor(1) as threads, started(api, agent(talks(enough))) as response:
        steady = frames(response)
        first = next(steady)
        whole_stream = threads.submit(lambda: [first, *steady])
        seen: list[Event] = []
        drops = 0
        while not seen or seen[-1][1] not in ENDS:
            after = {"after": len(seen)}
            with api.stream("GET", f"/runs/{first[2]['run_id']}/stream", params=after) as one:
                for event in frames(one):
                    seen.append(event)
                    if len(seen) % 17 == 0:
                        drops += 1
                        break
            if drops >= 12:
                enough.set()
        events = whole_stream.result(60)
    assert whole(events)
    assert counted_up(events)
    assert seen == events
    assert drops >= 12


def test_a_client_that_leaves_in_mid_answer_does_not_end_it(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    name = agent(tells(*map(str, range(40)), held=(2, "half said")))
    with started(api, name) as response:
        incoming = frames(response)
        start = next(incoming)
        assert next(incoming)[1] == "message.delta"
    neighbours.gate("half said").set()
    events = rest(api, start[2]["run_id"])
    assert whole(events)
    assert events[-1][2]["output"] == "".join(map(str, range(40)))
    assert neighbours.hung_up[name] == 0


def test_cancelling_closes_the_stream_and_the_providers_connection(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    name = agent(talks(threading.Event()))
    with started(api, name) as response:
        incoming = frames(response)
        start = next(incoming)
        assert next(incoming)[1] == "message.delta"
        assert api.post(f"/runs/{start[2]['run_id']}/cancel").status_code == 200
        *_, end = incoming
    assert end[1] == "cancelled"
    deadline = time.monotonic() + 60
    while not neighbours.hung_up[name]:
        assert time.monotonic() < deadline, "the provider still streams to nobody"
        time.sleep(0.02)
    assert whole(rest(api, start[2]["run_id"]))


def test_a_model_that_breaks_off_is_asked_again(api: httpx.Client, agent: Callable[..., str]) -> None:
    with started(api, agent(tells("It is a", " so", breaks=True), tells("It is", " rainy"))) as response:
        events = list(frames(response))
    assert whole(events)
    attempts = [(data["attempt"], data["content"]) for _, name, data in events if name == "message.delta"]
    assert attempts == [(1, "It is a"), (2, "It is"), (2, " rainy")] or attempts[:2] == [(1, "It is a"), (1, " so")]
    assert events[-1][2]["output"] == "It is rainy"


def test_a_silent_model_keeps_its_watchers_waiting_but_not_in_doubt(
    api: httpx.Client, agent: Callable[..., str], neighbours: Neighbours
) -> None:
    text, gate = "", "silent model"
    with started(api, agent(says("at last", gate=gate))) as response:
        for piece in response.iter_text():
            text += piece
            if text.count(": keep-alive\n\n") == 2:
                neighbours.gate(gate).set()
    assert text.count(": keep-alive\n\n") >= 2
    assert whole(events_in(text))
