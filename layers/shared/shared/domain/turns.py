"""One turn of a run: ask the model, write down what it says. Safe to repeat at any point."""

import re
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

from shared import clock, json_text
from shared.clients import llm
from shared.domain import budgets, conversation, deltas, models, plans, run_ends, runs
from shared.domain.budgets import Caps
from shared.domain.conversation import Conversation
from shared.domain.leaves import Leave
from shared.domain.plans import Plan, PlannedTool
from shared.domain.prices import picodollars
from shared.errors import ConditionFailed, LimitExceeded, RunError
from shared.store import run_log
from shared.store.run_log import Log
from shared.store.table import TenantStore
from shared.telemetry import log_context

_MODEL_TIMEOUT_SECONDS = 110.0
_WRITE_ATTEMPTS = 8
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


@dataclass(frozen=True, slots=True)
class Next:
    """Where the machine goes on: `tool` with one id, `tools` with several, `code` for an agent's own, or `done`."""

    next: Literal["tool", "tools", "code", "done"]
    tool_call_ids: list[str]


def take(store: TenantStore, run_id: str) -> Next:
    """Take the run one model call further; 1 read and 1 write (2 reads if the run continues a session).

    A turn that was taken already (this is a repetition) is not taken again: its outcome is returned. In a run of kind
    `tool` no model is asked: its call was written down when it began. Nor in one of kind `code`.

    Raises:
        LimitExceeded: steps, tokens or seconds are used up, or a budget has no room.
        ModelUnavailable, ModelRejected: see `shared.clients.llm.chat`.
        RunCancelled: there is no such run, or it was ended before the model was asked.
    """
    leave = Leave(store, run_id)
    log, run, plan = runs.open_log(store, run_id)
    log_context(trace_id=run.trace_id)
    seen = conversation.replay(log.events)
    if seen.end is not None:
        return Next("done", [])
    if run.kind == "code":
        return Next("code", [])
    if pending := seen.pending():
        return _tools(pending)
    if run.kind == "tool":
        _end_tool_run(store, run_id, log, seen)
        return Next("done", [])
    seconds = _check_limits(plan, seen)
    provider, model = models.split(plan.model)
    messages = conversation.messages(plan, conversation.history(store, plan), run.input_message, seen)
    options: dict[str, Any] = {
        "tools": [_function(tool) for tool in plan.tools],
        "timeout_s": min(_MODEL_TIMEOUT_SECONDS, seconds),
    }
    caps = _caps(plan, seen)
    reserved = budgets.reserve(store, caps, plan.llm_params, [messages, options["tools"]])
    options["params"] = budgets.limited(plan.llm_params, reserved.answer, provider)
    writer = deltas.Writer(store, run_id, log, step=len(seen.steps) + 1)
    reply: llm.Reply | None
    try:
        leave.check()
        if plan.stream:
            options |= {"tick_s": deltas.TICK_SECONDS, "max_bytes": run_ends.MAX_TEXT_BYTES}
            reply = writer.write(llm.stream(provider, model, messages, **options))
        else:
            reply = llm.chat(provider, model, messages, **options)
    except RunError:
        if not writer.heard:
            budgets.release(store, caps, reserved)
        raise
    if reply is None:
        # Nobody counted what was said until the stream was closed: what was reserved for it stays reserved.
        return take(store, run_id)
    budgets.settle(store, caps, reserved, reply.prompt_tokens, reply.completion_tokens or 0)
    return _put_down(writer, plan, seen, reply)


def _put_down(writer: deltas.Writer, plan: Plan, seen: Conversation, reply: llm.Reply) -> Next:
    """Write the model's reply behind what stands in the log; it ends the run if it asks for no tool."""
    store, run_id = writer.store, writer.run_id
    for _ in range(_WRITE_ATTEMPTS):
        if writer.taken:
            # Another copy of this worker was faster, or the run was ended: what stands in the log holds.
            return take(store, run_id)
        said = _said(reply, plan, writer.log, seen)
        asked = [call["id"] for call in said[0][1]["tool_calls"]]
        try:
            if asked:
                store.write(run_log.append(run_id, writer.log.tail, [*writer.rest, *said]))
                return _tools(asked)
            run_ends.finish(
                store,
                run_id,
                "succeeded",
                stop_reason="completed",
                output=reply.content or "",
                last=(*writer.rest, *said),
                log=writer.log,
            )
            return Next("done", [])
        except ConditionFailed:
            writer.look()
    raise RunError("The model's answer could not be written.")


def _end_tool_run(store: TenantStore, run_id: str, log: Log, seen: Conversation) -> None:
    """A run of kind `tool` ends as its only call did."""
    (call,) = seen.calls.values()
    if call.status == "succeeded":
        run_ends.finish(store, run_id, "succeeded", stop_reason="completed", output=call.result, log=log)
        return
    (failed,) = (event.data for event in log.events if event.event == "tool.error")
    error = f"{failed['code']}: {failed['error']}"
    run_ends.finish(store, run_id, "failed", stop_reason="tool_error", error=error, log=log)


def _tools(ids: list[str]) -> Next:
    return Next("tool" if len(ids) == 1 else "tools", ids)


def _check_limits(plan: Plan, seen: Conversation) -> float:
    """Seconds left.

    Raises:
        LimitExceeded: names the limit.
    """
    limits = plan.limits
    if len(seen.steps) >= limits.max_steps:
        raise LimitExceeded(f"max_steps: the run took {limits.max_steps} steps without an answer.")
    if seen.total_tokens >= limits.max_tokens:
        raise LimitExceeded(f"max_tokens: the run used {seen.total_tokens} of {limits.max_tokens} tokens.")
    left = clock.seconds_until(plan.deadline_at)
    if left <= 0:
        raise LimitExceeded(f"max_seconds: the run did not end within {limits.max_seconds} seconds.")
    return left


def _caps(plan: Plan, seen: Conversation) -> Caps:
    limits, price = plan.limits, plan.price
    cost_left = None
    if limits.max_cost_usd is not None and price is not None:
        cost_left = picodollars(limits.max_cost_usd) - price.of(seen.prompt_tokens, seen.completion_tokens)
    answer = limits.max_tokens - seen.total_tokens if limits.bounds_answers else None
    return Caps(plan.budgets, price, answer, cost_left)


def _said(reply: llm.Reply, plan: Plan, log: Log, seen: Conversation) -> list[tuple[str, dict[str, Any]]]:
    """The model's reply as events."""
    calls: list[dict[str, str]] = []
    taken = set(seen.calls)
    for n, asked in enumerate(reply.tool_calls):
        # Some providers count their calls from zero in every answer; ids must be unique in the run.
        usable = _CALL_ID.fullmatch(asked.id) and asked.id not in taken
        ours = (f"call_{log.tail + 1}_{m}" for m in count(n))
        call_id = asked.id if usable else next(candidate for candidate in ours if candidate not in taken)
        taken.add(call_id)
        tool = plan.tool_for(asked.function_name)
        name = asked.function_name if tool else plans.function_name(asked.function_name, set())
        calls.append(
            {
                "id": call_id,
                "name": tool.name if tool else name,
                "function_name": name,
                "arguments": asked.arguments,
            }
        )
    if json_text.size([reply.content, calls]) > run_ends.MAX_TEXT_BYTES or len(calls) > 40:
        raise LimitExceeded("max_tokens: the model's answer is larger than 100 kB or asks for more than 40 calls.")
    step = len(seen.steps) + 1
    said: list[tuple[str, dict[str, Any]]] = [
        ("message.completed", {"step": step, "content": reply.content, "tool_calls": calls})
    ]
    if reply.prompt_tokens is not None:
        prompt, completion = reply.prompt_tokens, reply.completion_tokens or 0
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }
        said.append(("usage", {"step": step, **usage}))
    return said


def _function(tool: PlannedTool) -> dict[str, Any]:
    schema = {"type": "object", "properties": {}} | tool.input_schema
    return {
        "type": "function",
        "function": {
            "name": tool.function_name,
            "description": tool.description[:1024],
            "parameters": schema,
        },
    }
