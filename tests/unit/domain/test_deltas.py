"""Streamed runs: the model's text stands in the log as it comes, and `message.completed` is what was said."""

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain import conversation, run_ends
from shared.store import run_log
from shared.store.table import TenantStore
from tests.unit.support import runs, stream
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.machine import Machine
from tests.unit.support.model import Pieces, ScriptedModel, call, counts, piece
from tests.unit.support.server import ToolServer

TASK = {"agent_id": "support", "input_message": "Hi"}
Event = dict[str, Any]


def begin(api: Api, machine: Machine) -> dict[str, str]:
    """A streamed run whose machine is not started yet; the machine's input."""
    machine.waits = False
    answer = api.post("/runs/stream", TASK)
    assert answer.status == 200
    return machine.pointers[-1]


def log_of(pointer: dict[str, str]) -> list[run_log.Event]:
    return run_log.read(TenantStore(pointer["tenant_id"]), pointer["run_id"]).events


def text_of(events: list[Event], step: int = 1) -> dict[int, str]:
    """The text of a step's pieces, by attempt."""
    found: dict[int, str] = {}
    for data in runs.named(events, "message.delta"):
        if data["step"] == step:
            found[data["attempt"]] = found.get(data["attempt"], "") + data["content"]
    return found


def all_events(api: Api, run_id: str) -> list[Event]:
    """The log of a run that has ended, however long."""
    found: list[Event] = []
    while page := api.get(f"/runs/{run_id}/events?limit=100&after={len(found)}").json:
        found += page
    assert [event["id"] for event in found] == list(range(1, len(found) + 1))
    assert [event["event"] in runs.TERMINAL for event in found] == [False] * (len(found) - 1) + [True]
    return found


def streamed(api: Api, machine: Machine) -> tuple[Any, list[Event]]:
    """A streamed run, driven to its end, and its log."""
    pointer = begin(api, machine)
    machine.execute(pointer)
    return api.get(f"/runs/{pointer['run_id']}").json, all_events(api, pointer["run_id"])


def test_a_piece_is_an_event(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.streams("Good ", "morning", "!")
    run, events = streamed(api, machine)
    assert runs.names(events) == ["start", *["message.delta"] * 3, "message.completed", "usage", "result"]
    assert runs.named(events, "message.delta") == [
        {"step": 1, "attempt": 1, "content": content} for content in ("Good ", "morning", "!")
    ]
    assert (run["status"], run["output_message"], run["total_tokens"]) == ("succeeded", "Good morning!", 15)
    assert runs.named(events, "message.completed")[0]["content"] == "Good morning!"


def test_who_does_not_watch_gets_no_pieces(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.says("whole")
    run = runs.start(api)
    assert runs.names(runs.events(api, run["id"])) == ["start", "message.completed", "usage", "result"]
    assert "stream" not in model.requests[0]


def test_many_pieces_in_no_time(
    api: Api, machine: Machine, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred kilobytes: neighbours are joined, nothing is lost, and every item fits."""
    moments = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: next(moments) / 50_000)
    runs.agent(api)
    texts = [f"{number:>9}\n" for number in range(9_000)]
    model.streams(*texts)
    run, events = streamed(api, machine)
    assert run["output_message"] == "".join(texts)
    assert text_of(events) == {1: run["output_message"]}
    assert 2 < len(events) < 4_500


def test_steps_are_told_apart(api: Api, machine: Machine, model: ScriptedModel, server: ToolServer) -> None:
    runs.agent(api, runs.webhook(api))
    model.streams("I look it ", "up.", calls=[{"index": 0} | call("lookup", {"q": 1})])
    model.streams("Found.")
    run, events = streamed(api, machine)
    assert (text_of(events, 1), text_of(events, 2)) == ({1: "I look it up."}, {1: "Found."})
    assert run["output_message"] == "Found."
    assert server.bodies() == [{"q": 1}]
    # What the model is told of the first step is what it said, whole.
    said = model.requests[1]["messages"][1]
    assert (said["content"], said["tool_calls"][0]["id"]) == ("I look it up.", "call_lookup")


def test_a_model_that_dies_in_its_answer_is_asked_again(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.tells([piece("It is a"), piece(" so")], pause=0.15)
    model.fails(429)
    model.streams("It is rainy")
    run, events = streamed(api, machine)
    assert text_of(events)[1].startswith("It is a")
    assert text_of(events)[2] == run["output_message"] == "It is rainy"


def test_a_model_that_never_gets_through_ends_the_run(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.follows(lambda request: Pieces([piece("It")]).answer())
    run, events = streamed(api, machine)
    assert (run["status"], run["stop_reason"]) == ("failed", "model_unavailable")
    assert sorted(text_of(events)) == [1, 2, 3, 4]
    assert events[-1]["event"] == "error"


def test_an_answer_that_is_too_long(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    endless = model.tells((piece("x" * 1_000) for _ in iter(int, 1)), pause=0.0)
    run, _ = streamed(api, machine)
    assert (run["status"], run["stop_reason"]) == ("failed", "max_tokens")
    assert endless.closed.wait(60)
    assert endless.sent < 200


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(4))
def test_a_worker_dies_in_mid_answer(
    api: Api,
    machine: Machine,
    model: ScriptedModel,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    moment: Moment,
) -> None:
    monkeypatch.setattr(conversation, "TEXT_SECONDS", 0.0)
    runs.agent(api)
    pointer = begin(api, machine)
    model.follows(lambda request: Pieces([*map(piece, "abcd"), piece(finish="stop"), counts()]).answer())
    faults.at(number, moment, die)
    machine.execute(pointer)
    assert faults.happened == 1
    events = all_events(api, pointer["run_id"])
    texts = text_of(events)
    assert texts[max(texts)] == "abcd"
    assert max(texts) == (1 if (number, moment) == (0, "before") else 2)
    assert len(runs.named(events, "message.completed")) == 1
    assert events[-1]["data"]["output"] == "abcd"


def test_a_run_that_is_cancelled_in_mid_answer_reads_no_further(
    api: Api, store: TenantStore, machine: Machine, model: ScriptedModel, faults: Faults
) -> None:
    runs.agent(api)
    pointer = begin(api, machine)
    endless = model.tells((piece("x") for _ in iter(int, 1)), pause=0.01)
    cancel: Callable[[], object] = lambda: run_ends.finish(  # noqa: E731
        store, pointer["run_id"], "cancelled", stop_reason="cancelled", error="Enough."
    )
    faults.at(2, "before", cancel)
    machine.execute(pointer)
    assert endless.is_given_up()
    events = all_events(api, pointer["run_id"])
    assert runs.names(events)[:2] == ["start", "message.delta"]
    assert not runs.named(events, "message.completed")
    assert api.get(f"/runs/{pointer['run_id']}").json["status"] == "cancelled"


def test_a_second_copy_of_the_worker_was_faster(
    api: Api, machine: Machine, model: ScriptedModel, faults: Faults
) -> None:
    runs.agent(api)
    pointer = begin(api, machine)
    endless = model.tells((piece("slow ") for _ in iter(int, 1)), pause=0.01)
    model.streams("fast")
    faults.at(1, "before", lambda: machine.invoke("call_model", pointer))
    machine.execute(pointer)
    assert endless.is_given_up()
    events = all_events(api, pointer["run_id"])
    assert events[-1]["data"]["output"] == "fast"
    assert len(runs.named(events, "message.completed")) == 1
    assert text_of(events)[1].startswith("slow")
    assert text_of(events)[2] == "fast"


def test_a_second_copy_of_the_worker_is_still_at_it(
    api: Api,
    store: TenantStore,
    machine: Machine,
    model: ScriptedModel,
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The one that meets the other writes no more pieces; it has its answer first, and that holds."""
    monkeypatch.setattr(conversation, "TEXT_SECONDS", 0.0)
    runs.agent(api)
    pointer = begin(api, machine)
    model.streams(*"abcdef")

    def others_piece() -> None:
        tail = log_of(pointer)[-1].id
        store.write(
            run_log.append(pointer["run_id"], tail, [("message.delta", {"step": 1, "attempt": 1, "content": "X"})])
        )

    faults.at(1, "before", others_piece)
    machine.execute(pointer)
    events = all_events(api, pointer["run_id"])
    assert runs.names(events) == ["start", *["message.delta"] * 2, "message.completed", "usage", "result"]
    assert events[-1]["data"]["output"] == "abcdef"
    assert len(model.requests) == 1


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_watchers_see_the_pieces(api: Api, machine: Machine, model: ScriptedModel) -> None:
    runs.agent(api)
    model.streams("Good ", "morning")
    answer = stream.request(api, "POST", "/runs/stream", TASK)
    pieces = [data["content"] for _, name, data in answer.events if name == "message.delta"]
    assert pieces == ["Good ", "morning"]
    assert answer.events[-1][1] == "result"
