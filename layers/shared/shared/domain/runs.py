"""Runs: an agent working on one input, from the first event to exactly one end."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from shared import clock
from shared.clients import machines
from shared.domain import agents, bindings, conversation, plans, tools
from shared.domain.fields import InputMessage, Model, Record, SessionId, SmallObject
from shared.domain.plans import Plan, RunLimits
from shared.domain.scopes import holds
from shared.errors import ConditionFailed, Forbidden, NotFound, RunCancelled, RunError, Unprocessable
from shared.store import keys, run_log
from shared.store.ids import new_id
from shared.store.run_log import Event, Log
from shared.store.table import Change, Item, Page, Put, TenantStore, Write

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "timed_out"]
MAX_TEXT_BYTES = 100_000
_GRACE_SECONDS = 10
_FINISH_ATTEMPTS = 8
_HISTORY_TURNS = 20
_HISTORY_CHARACTERS = 64_000


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


class ToolCalled(Record):
    """A tool call as the run shows it."""

    name: str
    tool_call_id: str
    args: dict[str, Any]
    status: str
    duration_ms: int | None


class Run(Record):
    """The record of a run. Counts are null until the run has ended, or if the provider gives none."""

    id: str
    tenant_id: str
    agent_id: str
    agent_version: int
    session_id: str
    trace_id: str
    kind: Literal["llm"] = "llm"
    status: Status
    stop_reason: str | None = None
    input_message: str
    output_message: str | None = None
    error_message: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: str | None = None
    tools_called: list[ToolCalled] | None = None
    messages: list[dict[str, Any]] | None = None
    metadata: dict[str, Any]
    created_at: str
    started_at: str | None
    finished_at: str | None = None
    updated_at: str
    deadline_at: Annotated[str, Field(exclude=True)] = ""
    user_id: str

    @property
    def ended(self) -> bool:
        return self.finished_at is not None


class RunEvent(Record):
    """One event of a run; `id` is its number, from 1 without gaps."""

    id: int
    event: str
    data: dict[str, Any]
    created_at: str


def stored(run: Run) -> str:
    """The run as the table keeps it, with what the API does not show."""
    return json.dumps(
        run.model_dump(exclude={"messages"}) | {"deadline_at": run.deadline_at},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def read(doc: str) -> Run:
    """A run from the table. One that outlived its deadline is over: no worker can end it otherwise any more."""
    run = Run.model_validate_json(doc)
    if run.ended or not overdue(run):
        return run
    return run.model_copy(
        update={
            "status": "timed_out",
            "stop_reason": "max_seconds",
            "error_message": "The run did not end within its limit.",
            "finished_at": run.deadline_at,
        }
    )


def of_item(item: Item) -> Run:
    return read(item.doc)


def overdue(run: Run) -> bool:
    """Whether a run that has no end is past its deadline, and the time that its workers had to say so."""
    return clock.in_seconds(-_GRACE_SECONDS) > run.deadline_at


def start(
    store: TenantStore, draft: RunCreate, *, user_id: str, granted: frozenset[str], trace_id: str
) -> tuple[Run, bool]:
    """Run an agent and wait for it, at most `SYNC_WAIT_SECONDS`.

    Returns:
        The run, and whether it has ended. One that has not goes on.

    Raises:
        NotFound: no such agent.
        Forbidden: a draft, and the caller may not edit agents.
        Unprocessable: the agent and its tools are larger than a run can carry.
    """
    item = agents.find(store, draft.agent_id)
    agent = agents.read(item)
    if agent.status == "draft" and not holds(granted, "agents:write"):
        raise Forbidden("A draft agent can be run by its editors only.", code="agent_is_draft")
    bound = bindings.of_agent(item)
    moment = clock.now()
    run = Run(
        id=store.new_id(),
        tenant_id=store.tenant_id,
        agent_id=agent.id,
        agent_version=agent.version,
        session_id=draft.session_id or new_id(),
        trace_id=trace_id,
        status="running",
        input_message=draft.input_message,
        metadata=draft.metadata,
        created_at=moment,
        started_at=moment,
        updated_at=moment,
        deadline_at=clock.in_seconds(draft.limits.max_seconds),
        user_id=user_id,
    )
    plan = plans.make(
        agent,
        bound,
        tools.get_many(store, [binding.tool_id for binding in bound]),
        limits=RunLimits(**draft.limits.model_dump()),
        deadline_at=run.deadline_at,
        continues_session=draft.session_id is not None,
        may_write=holds(granted, "tools:write"),
    )
    if not _begin(store, run, plan):
        # The first try of this idempotent request began the run, and if its log has grown, the machine too.
        begun = get(store, run.id)
        if begun.ended or run_log.read(store, run.id).tail > 1:
            return begun, begun.ended
    ended = machines.run_and_wait({"tenant_id": store.tenant_id, "run_id": run.id})
    seen = get(store, run.id)
    if ended and not seen.ended:
        # The machine is over and nobody marked the run: not even the worker whose work that is came through.
        finish(store, run.id, "failed", stop_reason="error", error="The run was ended by the platform.")
        seen = get(store, run.id)
    return seen, seen.ended


def _begin(store: TenantStore, run: Run, plan: Plan) -> bool:
    """Write the run and the first event of its log; 1 transaction. False if the run is there already."""
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
    try:
        store.write(Put(keys.run(run.id), heads["run"]), run_log.append(run.id, 0, [("start", begun)], heads=heads))
    except ConditionFailed:
        return False
    return True


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
        finish(store, run.id, "timed_out", stop_reason="max_seconds", error=run.error_message)
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


def finish(
    store: TenantStore,
    run_id: str,
    status: Status,
    *,
    stop_reason: str,
    output: str | None = None,
    error: str | None = None,
    last: tuple[tuple[str, dict[str, Any]], ...] = (),
    log: Log | None = None,
) -> None:
    """End a run, once: the terminal event, the record and the session's turn in 1 transaction.

    Whoever comes second finds the run ended and changes nothing.

    Args:
        last: events that belong before the terminal one, and behind nothing but `log`.
        log: the log as the caller saw it; read anew if others wrote meanwhile.

    Raises:
        ConditionFailed: others wrote behind `log`, so that `last` has no place any more.
    """
    for _ in range(_FINISH_ATTEMPTS):
        log = log or run_log.read(store, run_id)
        seen = conversation.replay([*log.events, *(Event(0, name, data, "") for name, data in last)])
        if not log.events or seen.end is not None:
            return
        run = Run.model_validate_json(log.heads["run"])
        if overdue(run) and status == "succeeded":
            # Readers have seen it timed out already; a late success would be a second end.
            status, stop_reason, output, last = "timed_out", "max_seconds", None, ()
            error = "The run did not end within its limit."
        ended = _ended(run, seen, status, stop_reason, output, error)
        writes: list[Write] = [
            run_log.append(run_id, log.tail, [*last, _terminal(ended)]),
            Change(keys.run(run_id), doc=stored(ended), when=1),
        ]
        if status == "succeeded":
            turn = {"input_message": run.input_message, "output_message": output or "", "run_id": run_id}
            writes.append(Put(keys.turn(run.session_id, run_id), json.dumps(turn, ensure_ascii=False), when=None))
        try:
            store.write(*writes)
        except ConditionFailed:
            if last:
                raise
            log = None
            continue
        return
    raise RunError("The end of the run could not be written.")


def _ended(
    run: Run,
    seen: conversation.Conversation,
    status: Status,
    stop_reason: str,
    output: str | None,
    error: str | None,
) -> Run:
    moment = clock.now()
    calls = [
        ToolCalled(
            name=call.name,
            tool_call_id=call.id,
            args=conversation.arguments_of(call),
            status=call.status if call.ended else "unknown" if call.status == "started" else "skipped",
            duration_ms=call.duration_ms,
        )
        for call in seen.calls.values()
    ]
    if len(json.dumps([call.args for call in calls], ensure_ascii=False).encode()) > MAX_TEXT_BYTES:
        calls = [call.model_copy(update={"args": {}}) for call in calls]
    return run.model_copy(
        update={
            "status": status,
            "stop_reason": stop_reason,
            "output_message": output,
            "error_message": error,
            "prompt_tokens": seen.prompt_tokens if seen.counted else None,
            "completion_tokens": seen.completion_tokens if seen.counted else None,
            "total_tokens": seen.total_tokens if seen.counted else None,
            "tools_called": calls,
            "finished_at": moment,
            "updated_at": moment,
        }
    )


def _terminal(run: Run) -> tuple[str, dict[str, Any]]:
    if run.status == "succeeded":
        tokens = {
            "prompt_tokens": run.prompt_tokens,
            "completion_tokens": run.completion_tokens,
            "total_tokens": run.total_tokens,
        }
        return "result", {"output": run.output_message, "tokens": tokens}
    return "error", {"error": run.error_message, "status": run.status, "stop_reason": run.stop_reason}
