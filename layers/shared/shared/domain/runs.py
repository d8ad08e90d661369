"""Runs: an agent working on one input. Begun here; ended in `run_ends`."""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

from pydantic import Field

from shared import clock
from shared.clients import machines
from shared.domain import agents, conversation, plans, run_ends
from shared.domain.fields import InputMessage, Model, SessionId, SmallObject
from shared.domain.plans import Plan, RunLimits
from shared.domain.run_records import Run, RunEvent, read, stored
from shared.domain.scopes import holds
from shared.errors import ConditionFailed, Forbidden, NotFound, RunCancelled, Unprocessable
from shared.store import keys, run_log
from shared.store.ids import new_id
from shared.store.run_log import Log
from shared.store.table import Page, Put, TenantStore

_HISTORY_TURNS = 20
_HISTORY_CHARACTERS = 64_000
# Events that a run begins with, by its kind.
_BEGUN_WITH = {"llm": 1, "tool": 2}


class LimitsInput(Model):
    """What the run may use up; what is left out has the default."""

    max_steps: Annotated[int, Field(ge=1, le=50)] = 20
    max_tokens: Annotated[int, Field(ge=1, le=2_000_000)] = 200_000
    max_seconds: Annotated[int, Field(ge=1, le=290)] = 120


class RunCreate(Model):
    """A task for an agent. The session, if named, carries the conversation on; it is made if it does not exist."""

    agent_id: Annotated[str, Field(min_length=1, max_length=200)]
    input_message: InputMessage
    session_id: SessionId | None = None
    limits: LimitsInput = LimitsInput()
    metadata: SmallObject = {}


class Starter(Protocol):
    """Who starts a run, and with what rights: the caller of the request."""

    @property
    def user_id(self) -> str: ...

    @property
    def key_id(self) -> str: ...

    @property
    def scopes(self) -> frozenset[str]: ...

    @property
    def trace_id(self) -> str: ...


def start(store: TenantStore, draft: RunCreate, starter: Starter) -> tuple[Run, bool]:
    """Run an agent and wait for it, at most `SYNC_WAIT_SECONDS`.

    Returns:
        The run, and whether it has ended. One that has not goes on.

    Raises:
        NotFound, Forbidden, Unprocessable: see `begin`.
        Unavailable: the machine could not be started.
    """
    return carry_out(store, *begin(store, draft, starter))


def carry_out(store: TenantStore, run: Run, new: bool) -> tuple[Run, bool]:
    """Start the machine of a run that has begun and wait for it; what `start` does after `begin`."""
    if not new and (run.ended or run_log.read(store, run.id).tail > _BEGUN_WITH[run.kind]):
        # The first try of this idempotent request began the run, and if its log has grown, the machine too.
        return run, run.ended
    ended = machines.run_and_wait({"tenant_id": store.tenant_id, "run_id": run.id})
    seen = get(store, run.id)
    if ended and not seen.ended:
        # The machine is over and nobody marked the run: not even the worker whose work that is came through.
        run_ends.finish(store, run.id, "failed", stop_reason="error", error="The run was ended by the platform.")
        seen = get(store, run.id)
    return seen, seen.ended


def start_streamed(store: TenantStore, draft: RunCreate, starter: Starter) -> Run:
    """Run an agent without waiting for it: whoever wants to see what it does follows its log.

    Raises:
        NotFound, Forbidden, Unprocessable: see `begin`.
        Unavailable: the machine could not be started.
    """
    run, new = begin(store, draft, starter, stream=True)
    if new or not (run.ended or run_log.read(store, run.id).tail > 1):
        # A second machine for one run does no harm: whatever it finds done in the log, it does not do again.
        machines.start_express({"tenant_id": store.tenant_id, "run_id": run.id})
    return run


def begin(store: TenantStore, draft: RunCreate, starter: Starter, *, stream: bool = False) -> tuple[Run, bool]:
    """Write the run and the first event of its log; 1 transaction. No machine is started.

    Args:
        stream: the model's answers become events piece by piece.

    Returns:
        The run, and whether it is new: the first try of an idempotent request may have begun it.

    Raises:
        NotFound: no such agent.
        Conflict: the agent is archived.
        Forbidden: a draft, and the caller may not edit agents.
        Unprocessable: the agent and its tools are larger than a run can carry.
    """
    agent, bound, known = agents.to_run(store, draft.agent_id)
    if agent.status == "draft" and not holds(starter.scopes, "agents:write"):
        raise Forbidden("A draft agent can be run by its editors only.", code="agent_is_draft")
    moment = clock.now()
    run = Run(
        id=store.new_id(),
        tenant_id=store.tenant_id,
        agent_id=agent.id,
        agent_version=agent.version,
        session_id=draft.session_id or new_id(),
        trace_id=starter.trace_id,
        status="running",
        input_message=draft.input_message,
        metadata=draft.metadata,
        created_at=moment,
        started_at=moment,
        updated_at=moment,
        deadline_at=clock.in_seconds(draft.limits.max_seconds),
        user_id=starter.user_id,
    )
    plan = plans.make(
        agent,
        bound,
        known,
        limits=RunLimits(**draft.limits.model_dump()),
        deadline_at=run.deadline_at,
        continues_session=draft.session_id is not None,
        may_write=holds(starter.scopes, "tools:write"),
        stream=stream,
    )
    return record(store, run, plan)


def record(
    store: TenantStore, run: Run, plan: Plan, first: Sequence[tuple[str, dict[str, Any]]] = ()
) -> tuple[Run, bool]:
    """Write the run and the first events of its log; 1 transaction.

    Args:
        first: events behind `start`.

    Returns:
        The run, and whether it is new.

    Raises:
        Unprocessable: the plan is larger than a run can carry.
    """
    planned = plan.model_dump_json()
    if len(planned.encode()) > plans.MAX_BYTES:
        raise Unprocessable(
            "The agent's instructions and tools are larger than a run can carry.", code="plan_too_large"
        )
    begun = {
        "run_id": run.id,
        "trace_id": run.trace_id,
        "agent_id": run.agent_id,
        "agent_version": run.agent_version,
        "session_id": run.session_id,
    }
    heads = {"plan": planned, "run": stored(run)}
    log = run_log.append(run.id, 0, [("start", begun), *first], heads=heads)
    try:
        store.write(Put(keys.run(run.id), heads["run"]), log)
    except ConditionFailed:
        return get(store, run.id), False
    return run, True


def get(store: TenantStore, run_id: str, *, with_messages: bool = False) -> Run:
    """A run; 1 request, 2 with its messages.

    Raises:
        NotFound: no such run in this tenant.
    """
    item = store.get(keys.run(run_id))
    if item is None:
        raise NotFound("No such run.")
    run = read(item.doc)
    if run.ended and item.version == 1:
        run_ends.finish(store, run.id, "timed_out", stop_reason="max_seconds", error=run.error_message)
        item = store.get(keys.run(run_id)) or item
        run = read(item.doc)
    if with_messages:
        log = run_log.read(store, run_id)
        plan = Plan.model_validate_json(log.heads["plan"])
        seen = conversation.replay(log.events)
        messages = conversation.messages(plan, history(store, run, plan), run.input_message, seen)
        run = run.model_copy(update={"messages": messages})
    return run


def page(store: TenantStore, limit: int, after: str | None) -> Page:
    """A page of runs, newest first; 1 request."""
    return store.query(keys.RUNS, limit=limit, after=after, newest_first=True)


def events(store: TenantStore, run_id: str, after: int, limit: int) -> list[RunEvent]:
    """Events behind number `after`, oldest first; 1 request (2 if there are none, to tell an unknown run).

    Raises:
        NotFound: no such run in this tenant.
    """
    found = run_log.read_after(store, run_id, after, limit)
    if not found and store.get(keys.run(run_id)) is None:
        raise NotFound("No such run.")
    return [RunEvent(id=event.id, event=event.event, data=event.data, created_at=event.created_at) for event in found]


def history(store: TenantStore, run: Run, plan: Plan) -> list[tuple[str, str]]:
    """Question and answer of the session's earlier runs, oldest first; 1 request, none for a new session.

    The newest 20 turns, as far as they fit 64,000 characters.
    """
    if not plan.continues_session:
        return []
    turns: list[tuple[str, str]] = []
    room = _HISTORY_CHARACTERS
    for item in store.query(keys.session(run.session_id), limit=_HISTORY_TURNS, after=run.id, newest_first=True).items:
        turn = json.loads(item.doc)
        room -= len(turn["input_message"]) + len(turn["output_message"])
        if room < 0:
            break
        turns.append((turn["input_message"], turn["output_message"]))
    return turns[::-1]


def open_log(store: TenantStore, run_id: str) -> tuple[Log, Run, Plan]:
    """All that a worker needs to go on with a run; 1 request.

    Raises:
        RunCancelled: there is no such run.
    """
    log = run_log.read(store, run_id)
    if not log.events:
        raise RunCancelled("The run does not exist.")
    return log, Run.model_validate_json(log.heads["run"]), Plan.model_validate_json(log.heads["plan"])
