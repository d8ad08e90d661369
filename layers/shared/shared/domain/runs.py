"""Runs: an agent working on one input. Begun and cancelled here; ended in `run_ends`."""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import Field

from shared import clock
from shared.clients import machines
from shared.domain import agents, conversation, leaves, plans, run_ends, session_heads, session_queue
from shared.domain.budgets import Budget
from shared.domain.fields import InputMessage, Model, SessionId, SmallObject, Whole
from shared.domain.plans import Plan, RunLimits
from shared.domain.run_records import Run, RunEvent, read, start_event, stored
from shared.domain.scopes import holds
from shared.domain.session_queue import Entry
from shared.errors import (
    ConditionFailed,
    Conflict,
    Forbidden,
    NotFound,
    RunCancelled,
    TableBusy,
    Unavailable,
    Unprocessable,
)
from shared.store import ids, keys, run_log
from shared.store.races import step_aside
from shared.store.run_log import Log
from shared.store.table import Put, TenantStore
from shared.telemetry import log_context

T = TypeVar("T")

MAX_SYNC_SECONDS = 290
_ATTEMPTS = 40
# Events that a run begins with, by its kind.
_BEGUN_WITH = {"llm": 1, "code": 1, "tool": 2}
# What a run of an agent's own code needs beside it: cold starts, and the machine's own retries.
_CODE_MARGIN_SECONDS = 20


class LimitsInput(Model):
    """What the run may use up; what is left out has the default."""

    max_steps: Annotated[Whole, Field(ge=1, le=50)] = 20
    max_tokens: Annotated[Whole, Field(ge=1, le=2_000_000)] = 200_000
    max_seconds: Annotated[
        Whole, Field(ge=1, le=3600, description="At most 290, unless the request prefers `respond-async`.")
    ] = 120
    max_cost_usd: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?$")] | None = None


class RunOptions(Model):
    """How a task is carried out. The session, if named, carries the conversation on; it is made if it does not exist.

    A session has one run at work at a time. `on_conflict` says what becomes of a second: `reject` (409) or `enqueue`.
    """

    session_id: SessionId | None = None
    on_conflict: Literal["reject", "enqueue"] = "reject"
    limits: LimitsInput = LimitsInput.model_construct()
    metadata: SmallObject = {}


class RunCreate(RunOptions):
    """A task for an agent."""

    agent_id: Annotated[str, Field(min_length=1, max_length=200)]
    input_message: InputMessage


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

    @property
    def budgets(self) -> Sequence[Budget]: ...


def start(
    store: TenantStore, draft: RunCreate, starter: Starter, *, background: bool = False, input_is_json: bool = False
) -> Run:
    """Run an agent and wait for it, at most `SYNC_WAIT_SECONDS`; not at all in the background.

    Args:
        input_is_json: the message is the whole payload of an agent's own code.

    Returns:
        The run. One that has not ended goes on; one that is `queued` begins when it is its turn.

    Raises:
        NotFound, Forbidden, Conflict, Unprocessable: see `begin`.
        Unavailable: the machine could not be started; see `_launch`.
    """
    return carry_out(store, *begin(store, draft, starter, background=background, input_is_json=input_is_json))


def carry_out(store: TenantStore, run: Run, new: bool) -> Run:
    """Start the machine of a run that has begun, and wait for it if it is not one of the background."""
    log_context(run_id=run.id)
    if run.ended or run.status == "queued":
        return run
    if run.background:
        _launch(store, run, machines.start_background)
        return run
    if not new and _moved(store, run):
        return run
    ended = _launch(store, run, machines.run_and_wait)
    seen = get(store, run.id)
    if ended and not seen.ended:
        # The machine is over and nobody marked the run: not even the worker whose work that is came through.
        run_ends.finish(store, run.id, "failed", stop_reason="error", error="The run was ended by the platform.")
        seen = get(store, run.id)
    return seen


def start_streamed(store: TenantStore, draft: RunCreate, starter: Starter) -> Run:
    """Run an agent without waiting for it: whoever wants to see what it does follows its log.

    Raises:
        NotFound, Forbidden, Conflict, Unprocessable: see `begin`.
        Unavailable: the machine could not be started; see `_launch`.
    """
    run, new = begin(store, draft, starter, stream=True)
    log_context(run_id=run.id)
    if not run.ended and run.status != "queued" and (new or not _moved(store, run)):
        # A second machine for one run does no harm: whatever it finds done in the log, it does not do again.
        _launch(store, run, machines.start_express)
    return run


def _moved(store: TenantStore, run: Run) -> bool:
    """Whether the log of a run that an earlier try of its request began has grown: then its machine was started."""
    return run_log.read(store, run.id).tail > _BEGUN_WITH[run.kind]


def _launch(store: TenantStore, run: Run, launch: Callable[[dict[str, str]], T]) -> T:
    """Start a run's machine. If that fails, the next try of the request starts it; without one the run ends."""
    try:
        return launch({"tenant_id": store.tenant_id, "run_id": run.id})
    except Unavailable:
        if store.repeatable:
            raise
        run_ends.finish(store, run.id, "failed", stop_reason="error", error="The run could not be started.")
        raise


def begin(
    store: TenantStore,
    draft: RunCreate,
    starter: Starter,
    *,
    stream: bool = False,
    background: bool = False,
    input_is_json: bool = False,
) -> tuple[Run, bool]:
    """Write the run and the first event of its log; 1 request. No machine is started.

    Args:
        stream: the model's answers become events piece by piece.
        input_is_json: see `start`.

    Returns:
        The run, and whether it is new: the first try of an idempotent request may have begun it. One that is `queued`
        has no log yet, and needs no machine: its session starts it.

    Raises:
        NotFound: no such agent.
        Conflict: the agent is archived, its code has no version that is ready, or the session is busy.
        Forbidden: a draft, and the caller may not edit agents.
        Unprocessable: the agent and its tools are larger than a run can carry, or the limits than a run may have; or
            a cap on the cost holds, and the model has no price.
    """
    if draft.limits.max_seconds > MAX_SYNC_SECONDS and not background:
        problem = {"loc": ["body", "limits", "max_seconds"], "msg": "too long to wait for", "type": "less_than_equal"}
        detail = f"A run of more than {MAX_SYNC_SECONDS} seconds needs the header Prefer: respond-async."
        raise Unprocessable(detail, errors=[problem])
    agent, bound, known = agents.to_run(store, draft.agent_id)
    seconds, code = draft.limits.max_seconds, None
    if agent.kind == "code":
        from shared.domain import code_plans  # here, because the workers of runs need none of it

        agent, code = code_plans.pinned(store, agent, seconds)
        seconds = code.seconds + _CODE_MARGIN_SECONDS
    if agent.status == "draft" and not holds(starter.scopes, "agents:write"):
        raise Forbidden("A draft agent can be run by its editors only.", code="agent_is_draft")
    run_id = store.new_id()
    moment = clock.now()
    run = Run(
        id=run_id,
        tenant_id=store.tenant_id,
        agent_id=agent.id,
        agent_version=agent.version,
        agent_version_id=agent.current_version_id if agent.status == "published" else None,
        model=agent.model or None,
        session_id=draft.session_id or run_id,
        trace_id=starter.trace_id,
        kind=agent.kind,
        status="running",
        input_message=draft.input_message,
        input_is_json=input_is_json,
        metadata=draft.metadata,
        created_at=clock.iso(ids.made_at(run_id)),
        started_at=moment,
        updated_at=moment,
        deadline_at=clock.in_seconds(seconds),
        background=background,
        user_id=starter.user_id,
    )
    plan = plans.make(
        agent,
        bound,
        known,
        limits=RunLimits(
            **draft.limits.model_dump() | {"max_seconds": seconds},
            bounds_answers="max_tokens" in draft.limits.model_fields_set,
        ),
        deadline_at=run.deadline_at,
        may_write=holds(starter.scopes, "tools:write"),
        stream=stream,
        budgets=starter.budgets,
    ).model_copy(update={"code": code})
    if (
        code is None
        and plan.price is None
        and (plan.limits.max_cost_usd or any(budget.unit == "cost" for budget in plan.budgets))
    ):
        raise Unprocessable(f"A cap on the cost holds, and the price of {plan.model} is unknown.", code="price_unknown")
    return record(store, run, plan, enqueue=draft.on_conflict == "enqueue")


def record(
    store: TenantStore,
    run: Run,
    plan: Plan,
    first: Sequence[tuple[str, dict[str, Any]]] = (),
    *,
    enqueue: bool = False,
) -> tuple[Run, bool]:
    """Write the run and the first events of its log, into its session if it has one; 1 request.

    It is a transaction if the run comes into a session, or its request may be sent again.

    Args:
        first: events behind `start`.
        enqueue: if its session is busy, it may wait.

    Returns:
        The run, and whether it is new.

    Raises:
        Conflict: its session is busy.
        Unprocessable: the plan is larger than a run can carry.
    """
    if len(plan.text().encode()) > plans.MAX_BYTES:
        raise Unprocessable(
            "The agent's instructions and tools are larger than a run can carry.", code="plan_too_large"
        )
    for attempt in range(_ATTEMPTS):
        try:
            entry = session_queue.enter(store, run, enqueue=enqueue) if run.session_id != run.id else None
        except Conflict:
            # Busy with this very run, perhaps: the first try of this request began it.
            if store.get(keys.run(run.id)) is None:
                raise
            return get(store, run.id), False
        entered, own = _entered(run, plan, first, entry)
        try:
            if entry is None and not store.repeatable:
                # Nobody knows the new id, so there is nothing to be all or none with.
                store.write_apart(*own)
            else:
                store.write(*own, *(entry.writes if entry else ()))
        except ConditionFailed as refused:
            if {0, 1} & set(refused.failed):
                return get(store, run.id), False
        except TableBusy:
            if entry is None:
                raise
        else:
            return entered, True
        # Others came into the session, or left it, meanwhile.
        step_aside(attempt)
    raise TableBusy("too many runs come into the session at once")


def _entered(
    run: Run, plan: Plan, first: Sequence[tuple[str, dict[str, Any]]], entry: Entry | None
) -> tuple[Run, list[Put]]:
    """The run as it begins or waits, and its own items: itself, its first batch of events or its plan, its pointer."""
    pointers = [Put(keys.run_of_agent(run.agent_id, run.id), "{}")] if run.agent_id else []
    if entry and entry.waits:
        run = run.model_copy(update={"status": "queued", "started_at": None, "deadline_at": "", "background": True})
        return run, [
            Put(keys.run(run.id), stored(run), lists=run.lists),
            Put(keys.waiting_run(run.id), plan.text(), parts={}),
            *pointers,
        ]
    plan = plan.model_copy(update={"history": entry.history if entry else None})
    heads = {"plan": plan.text(), "run": stored(run)}
    return run, [
        Put(keys.run(run.id), heads["run"], lists=run.lists),
        run_log.append(run.id, 0, [start_event(run), *first], heads=heads),
        *pointers,
    ]


def cancel(store: TenantStore, run_id: str) -> Run:
    """End a run. When this returns no model or tool call begins any more; see `leaves`.

    Raises:
        NotFound: no such run in this tenant.
        Conflict: it has ended.
    """
    run = get(store, run_id)
    ended = session_queue.withdraw(store, run) if run.status == "queued" else None
    ended = ended or run_ends.finish(store, run_id, "cancelled", stop_reason="cancelled")
    if ended is None or ended.status != "cancelled":
        raise Conflict("The run has ended already.", code="run_ended")
    if ended.started_at:
        written = time.monotonic()
        if ended.background:
            machines.stop_background(run_id)
        time.sleep(max(0.0, leaves.ANSWER_SECONDS - (time.monotonic() - written)))
    return ended


def get(store: TenantStore, run_id: str, *, with_messages: bool = False) -> Run:
    """A run; 1 request, 2 with its messages.

    Raises:
        NotFound: no such run in this tenant.
    """
    item = store.get(keys.run(run_id))
    if item is None:
        raise NotFound("No such run.")
    run = read(item.doc)
    if _needs_settling(store, run):
        item = store.get(keys.run(run_id)) or item
        run = read(item.doc)
    if with_messages:
        log = run_log.read(store, run_id)
        if not log.events:
            return run.model_copy(update={"messages": [{"role": "user", "content": run.input_message}]})
        plan = Plan.model_validate_json(log.heads["plan"])
        seen = conversation.replay(log.events)
        messages = conversation.messages(plan, conversation.history(store, plan), run.input_message, seen)
        run = run.model_copy(update={"messages": messages})
    return run


def _needs_settling(store: TenantStore, run: Run) -> bool:
    """Write down the end that nobody wrote, call the run that nobody called. Whether there was something to do."""
    if run.ended and run.finished_at == run.deadline_at:
        ended = run_ends.finish(store, run.id, "timed_out", stop_reason="max_seconds", error=run.error_message)
        if ended is None and run.session_id == run.id:
            run_ends.mend(store, run.id)
        return True
    if run.status != "queued":
        return False
    found = session_heads.find(store, run.session_id)
    return found is not None and session_queue.settle(store, found[0])


def events(store: TenantStore, run_id: str, after: int, limit: int) -> list[RunEvent]:
    """Events behind number `after`, oldest first; 1 request (2 if there are none, to tell an unknown run).

    Raises:
        NotFound: no such run in this tenant.
    """
    found = run_log.read_after(store, run_id, after, limit)
    if not found and store.get(keys.run(run_id)) is None:
        raise NotFound("No such run.")
    return [RunEvent(id=event.id, event=event.event, data=event.data, created_at=event.created_at) for event in found]


def open_log(store: TenantStore, run_id: str) -> tuple[Log, Run, Plan]:
    """All that a worker needs to go on with a run; 1 request.

    Raises:
        RunCancelled: there is no such run.
    """
    log = run_log.read(store, run_id)
    if not log.events:
        raise RunCancelled("The run does not exist.")
    return log, Run.model_validate_json(log.heads["run"]), Plan.model_validate_json(log.heads["plan"])
