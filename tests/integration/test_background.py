"""Runs in the background, their cancellation, and the queue of a session, through the real machines and the stream."""

import itertools
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.neighbours import MODEL, Neighbours, asks, says
from tests.integration.running import eventually

pytestmark = pytest.mark.covers(
    "POST /runs",
    "POST /runs/{run_id}/cancel",
    "GET /sessions",
    "GET /sessions/{session_id}",
    "DELETE /sessions/{session_id}",
    "GET /sessions/{session_id}/messages",
)
ASYNC = {"Prefer": "respond-async"}
TERMINAL = {"result", "error", "cancelled"}

_number = itertools.count()


class Stage:
    """Makes agents that follow a script, starts them in the background and waits for their end."""

    def __init__(self, api: httpx.Client, neighbours: Neighbours) -> None:
        self.api, self.neighbours = api, neighbours

    def agent(self, *script: Any, path: str | None = None) -> str:
        """An agent whose model follows the script, with a tool at a path of the neighbours; the name of both."""
        name = f"background_{next(_number)}"
        self.neighbours.script[name] = list(script)
        tool_ids = []
        if path:
            tool = {"name": name, "endpoint": f"{self.neighbours.url}{path}"}
            tool_ids.append(self.api.post("/tools", json=tool).json()["id"])
        made = self.api.post("/agents", json={"name": name, "model": f"custom:{name}", "tool_ids": tool_ids})
        assert made.status_code == 201, made.text
        return name

    def script(self, name: str, *steps: Any) -> None:
        self.neighbours.script[name] = list(steps)

    def begin(self, agent: str, message: str = "go", **fields: Any) -> str:
        answer = self.api.post("/runs", json={"agent_id": agent, "input_message": message, **fields}, headers=ASYNC)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def run(self, run_id: str) -> Any:
        return self.api.get(f"/runs/{run_id}").json()

    def ended(self, run_id: str) -> Any:
        eventually(lambda: self.run(run_id)["finished_at"] is not None)
        return self.run(run_id)

    def cancel(self, run_id: str) -> httpx.Response:
        return self.api.post(f"/runs/{run_id}/cancel")

    def events(self, run_id: str) -> list[str]:
        """The names of a run's events, which are numbered without gaps, and end once."""
        found = self.api.get(f"/runs/{run_id}/events", params={"limit": 100}).json()
        assert [event["id"] for event in found] == list(range(1, len(found) + 1))
        names = [event["event"] for event in found]
        assert [name in TERMINAL for name in names] == [False] * (len(names) - 1) + [True]
        return names

    def asked(self, agent: str) -> int:
        """How often the agent's model was asked."""
        return self.neighbours.asked(agent)


@pytest.fixture
def stage(api: httpx.Client, neighbours: Neighbours) -> Stage:
    return Stage(api, neighbours)


@pytest.fixture
def gate(neighbours: Neighbours) -> str:
    """The path of a tool that answers when its gate is opened; a model may wait for it, too."""
    return f"/tool/gate/background_{next(_number)}"


def test_a_run_in_the_background_is_answered_at_once(stage: Stage, gate: str) -> None:
    agent = stage.agent(says("at last", gate=gate))
    answer = stage.api.post("/runs", json={"agent_id": agent, "input_message": "go"}, headers=ASYNC)
    assert (answer.status_code, answer.json()["status"]) == (202, "running")
    assert answer.headers["Preference-Applied"] == "respond-async"
    run_id = answer.json()["id"]
    assert answer.headers["Location"] == f"/runs/{run_id}"
    stage.neighbours.gate(gate).set()
    assert (stage.ended(run_id)["status"], stage.run(run_id)["output_message"]) == ("succeeded", "at last")
    assert stage.events(run_id) == ["start", "message.completed", "usage", "result"]


def test_a_hundred_duplicates_of_a_background_run_are_one(stage: Stage, platform: Runtime) -> None:
    agent = stage.agent(*(says("once") for _ in range(5)))
    headers = ASYNC | {"Idempotency-Key": f"background-{uuid.uuid4()}"}
    task = {"agent_id": agent, "input_message": "go"}
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: stage.api.post("/runs", json=task, headers=headers), range(100)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    (run_id,) = {answer.json()["id"] for answer in answers if answer.status_code == 202}
    assert stage.ended(run_id)["status"] == "succeeded"
    assert [run["id"] for run in stage.api.get("/runs", params={"agent_id": agent}).json()] == [run_id]
    assert stage.asked(agent) == 1


def test_a_tool_is_executed_in_the_background(stage: Stage) -> None:
    tool = {"name": f"background_{next(_number)}", "endpoint": f"{stage.neighbours.url}/tool/echo"}
    tool_id = stage.api.post("/tools", json=tool).json()["id"]
    answer = stage.api.post(f"/tools/{tool_id}/execute", json={"args": {"x": 1}}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    assert stage.ended(answer.json()["id"])["status"] == "succeeded"


def test_cancel_during_a_tool_call(stage: Stage, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("never said"))
    run_id = stage.begin(agent)
    eventually(lambda: stage.neighbours.calls(gate) == 1)
    answer = stage.cancel(run_id)
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["tools_called"][0]["status"] == "unknown"
    stage.neighbours.gate(gate).set()
    time.sleep(0.5)
    assert (stage.asked(agent), stage.neighbours.calls(gate)) == (1, 1)
    assert stage.events(run_id) == ["start", "message.completed", "usage", "tool.started", "cancelled"]
    assert stage.run(run_id) == answer.json()


@pytest.mark.parametrize("headers", [{}, ASYNC], ids=["waited for", "in the background"])
def test_cancel_during_a_model_call(stage: Stage, headers: dict[str, str], gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})) | {"gate": gate}, says("never said"))
    answers: list[httpx.Response] = []
    task = {"agent_id": agent, "input_message": "go"}
    client = threading.Thread(target=lambda: answers.append(stage.api.post("/runs", json=task, headers=headers)))
    client.start()
    eventually(lambda: stage.asked(agent) == 1)
    (run,) = stage.api.get("/runs", params={"agent_id": agent}).json()
    assert stage.cancel(run["id"]).status_code == 200
    stage.neighbours.gate(gate).set()
    client.join(60)
    time.sleep(0.5)
    assert (stage.asked(agent), stage.neighbours.calls(gate)) == (1, 0)
    assert stage.events(run["id"]) == ["start", "cancelled"]
    assert answers[0].status_code == (202 if headers else 201)
    if not headers:
        assert answers[0].json()["status"] == "cancelled"


def test_cancel_and_the_end_have_one_winner(stage: Stage) -> None:
    """A run of one model call of 30 ms is cancelled somewhere between its start and its end, often close to its end."""
    outcomes: Counter[str] = Counter()
    agent = stage.agent()
    wait = 0.0
    for _ in range(40):
        stage.script(agent, says("done", delay=0.03), says("never said"))
        before = stage.asked(agent)
        run_id = stage.begin(agent)
        time.sleep(wait)
        answer = stage.cancel(run_id)
        at_the_answer = stage.asked(agent)
        run = stage.ended(run_id)
        assert (answer.status_code, run["status"]) in {(200, "cancelled"), (409, "succeeded")}
        if answer.status_code == 409:
            assert answer.json()["code"] == "run_ended"
        assert stage.events(run_id)[-1] == ("cancelled" if answer.status_code == 200 else "result")
        time.sleep(0.05)
        assert stage.asked(agent) == at_the_answer <= before + 1
        outcomes[run["status"]] += 1
        wait = wait / 2 if run["status"] == "succeeded" else wait * 1.5 + 0.005
    assert outcomes["cancelled"] > 0
    assert outcomes["succeeded"] > 0


def test_of_many_cancels_one_wins(stage: Stage, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("never said"))
    run_id = stage.begin(agent)
    eventually(lambda: stage.neighbours.calls(gate) == 1)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: stage.cancel(run_id).status_code, range(16)))
    stage.neighbours.gate(gate).set()
    assert Counter(answers) == {200: 1, 409: 15}
    assert stage.events(run_id)[-1] == "cancelled"


def test_a_foreign_run_cannot_be_cancelled(stage: Stage, other_api: httpx.Client, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("done"))
    run_id = stage.begin(agent)
    assert other_api.post(f"/runs/{run_id}/cancel").status_code == 404
    stage.neighbours.gate(gate).set()
    assert stage.ended(run_id)["status"] == "succeeded"


def test_runs_of_a_session_wait_for_each_other(stage: Stage) -> None:
    """32 at once: one is at work at a time, 20 wait, and they come in the order of the queue."""
    agent = stage.agent(*(says(f"answer {n}", delay=0.02) for n in range(32)))
    session = f"queue-{uuid.uuid4()}"
    task = {"agent_id": agent, "session_id": session, "on_conflict": "enqueue"}
    with ThreadPoolExecutor(32) as pool:
        answers = list(
            pool.map(
                lambda n: stage.api.post("/runs", json=task | {"input_message": f"question {n}"}, headers=ASYNC),
                range(32),
            )
        )
    codes = Counter(answer.status_code for answer in answers)
    assert set(codes) <= {202, 409}
    assert codes[202] >= 21
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"session_queue_full"}
    accepted = [answer.json()["id"] for answer in answers if answer.status_code == 202]
    runs = [stage.ended(run_id) for run_id in accepted]
    assert {run["status"] for run in runs} == {"succeeded"}
    runs.sort(key=lambda run: run["started_at"])
    for before, after in itertools.pairwise(runs):
        assert before["finished_at"] <= after["started_at"], "two runs were at work in one session"
    eventually(lambda: stage.api.get(f"/sessions/{session}").json()["status"] == "idle")
    shown = stage.api.get(f"/sessions/{session}").json()
    assert (shown["run_count"], shown["message_count"]) == (len(runs), 2 * len(runs))
    assert (shown["active_run_id"], shown["queued_run_ids"]) == (None, [])
    # Each saw all that was said before it: the model was told one turn more each time.
    told = [body["messages"] for _, body in stage.neighbours.seen[MODEL] if body["model"] == agent]
    assert [min(len(messages), 41) for messages in told] == [min(2 * n + 1, 41) for n in range(len(runs))]
    said = stage.api.get(f"/sessions/{session}/messages", params={"limit": 100}).json()
    assert [message["run_id"] for message in said[::2]] == [run["id"] for run in runs]
    assert stage.asked(agent) == len(runs)


def test_the_queue_keeps_its_order(stage: Stage, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("first"), says("second"), says("fourth"))
    session = f"queue-{uuid.uuid4()}"
    ids = [stage.begin(agent, f"question {n}", session_id=session, on_conflict="enqueue") for n in range(4)]
    assert [stage.run(run_id)["status"] for run_id in ids] == ["running", "queued", "queued", "queued"]
    shown = stage.api.get(f"/sessions/{session}").json()
    assert (shown["status"], shown["active_run_id"], shown["queued_run_ids"]) == ("busy", ids[0], ids[1:])
    refused = stage.api.post("/runs", json={"agent_id": agent, "input_message": "x", "session_id": session})
    assert (refused.status_code, refused.json()["code"]) == (409, "session_busy")
    assert stage.api.delete(f"/sessions/{session}").status_code == 409
    assert stage.cancel(ids[2]).json()["status"] == "cancelled"
    assert stage.events(ids[2]) == ["start", "cancelled"]
    stage.neighbours.gate(gate).set()
    outputs = [stage.ended(run_id)["output_message"] for run_id in ids]
    assert outputs == ["first", "second", None, "fourth"]
    assert stage.run(ids[1])["started_at"] >= stage.run(ids[0])["finished_at"]
    assert stage.api.delete(f"/sessions/{session}").status_code == 204
    assert stage.api.get(f"/sessions/{session}/messages").status_code == 404


def test_cancel_of_the_run_at_work_lets_the_next_begin(stage: Stage, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("the second"))
    session = f"queue-{uuid.uuid4()}"
    first, second = (stage.begin(agent, session_id=session, on_conflict="enqueue") for _ in range(2))
    eventually(lambda: stage.neighbours.calls(gate) == 1)
    assert stage.cancel(first).status_code == 200
    assert stage.ended(second)["output_message"] == "the second"
    stage.neighbours.gate(gate).set()


def test_a_run_that_named_no_session_can_be_joined_while_it_works(stage: Stage, gate: str) -> None:
    agent = stage.agent(path=gate)
    stage.script(agent, asks((agent, {})), says("the first"), says("the second"))
    first = stage.begin(agent, "question 1")
    eventually(lambda: stage.neighbours.calls(gate) == 1)
    second = stage.begin(agent, "question 2", session_id=first, on_conflict="enqueue")
    assert stage.run(second)["status"] == "queued"
    stage.neighbours.gate(gate).set()
    assert stage.ended(second)["output_message"] == "the second"
    said = stage.api.get(f"/sessions/{first}/messages").json()
    assert [message["content"] for message in said] == ["question 1", "the first", "question 2", "the second"]
