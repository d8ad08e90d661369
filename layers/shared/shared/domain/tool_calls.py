"""One tool call of a run: checked, guarded, carried out at most once, written down.

The log is the ledger: `tool.started` is the intent, written on the condition that nobody else wrote it, before
anything is sent; `tool.completed` or `tool.error` ends it. A call that was started and not ended is repeated only if
its tool is declared idempotent; otherwise it ends `unknown`, and the model and the reader are told so.
"""

import json
import re
import time
from typing import Any

from shared import clock, metrics
from shared.config import settings
from shared.domain import arguments, conversation, internal_tools, limits, runs, webhooks
from shared.domain.conversation import ToolCall
from shared.domain.leaves import Leave
from shared.domain.plans import Plan, PlannedTool
from shared.domain.run_records import Run
from shared.domain.tool_proofs import Asker
from shared.domain.webhooks import Outgoing
from shared.errors import ConditionFailed, RateLimited, RunCancelled, RunError, ToolError
from shared.store import run_log
from shared.store.races import step_aside
from shared.store.run_log import Log
from shared.store.table import TenantStore
from shared.telemetry import log_context, measure

_APPEND_ATTEMPTS = 60


def call(store: TenantStore, run_id: str, tool_call_id: str) -> None:
    """Carry out one tool call; 1 read and 2 writes. A failure is the call's result, never the run's end.

    Raises:
        RunCancelled: the run is over or never asked for this call. One that was ended before anything was sent.
    """
    leave = Leave(store, run_id)
    log, run, plan = runs.open_log(store, run_id)
    log_context(trace_id=run.trace_id)
    asked = _current(log, tool_call_id)
    if asked.ended:
        return
    tool = plan.tool_for(asked.function_name)
    # Whose figures the call counts in; a test counts in nobody's.
    counted = {"tool_id": tool.tool_id} if tool and not run.test else {}
    if asked.status == "started" and not (tool and tool.idempotent):
        name, data = _error(asked, "unknown", "It is unknown whether the call took effect.", 0)
        _end(store, run_id, log, asked, (name, data | counted), tool)
        return
    first = asked.status == "asked"
    if first:
        started = {"tool_call_id": asked.id, "name": asked.name, "args": conversation.arguments_of(asked)}
        leave = Leave(store, run_id)
        if (now := _append(store, run_id, log, asked, ("tool.started", started))) is None:
            return
        log = now
    begun = time.monotonic()
    try:
        output = _carry_out(store, plan, tool, asked, run, leave, counts=first)
    except ToolError as error:
        name, data = _error(asked, error.code, error.detail, _since(begun))
    else:
        name = "tool.completed"
        data = {"tool_call_id": asked.id, "name": asked.name, "output": output, "duration_ms": _since(begun)}
    _end(store, run_id, log, asked, (name, data | counted), tool)


def _end(
    store: TenantStore,
    run_id: str,
    log: Log,
    asked: ToolCall,
    event: tuple[str, dict[str, Any]],
    tool: PlannedTool | None,
) -> None:
    """Write the event that ends a call; whoever wrote it counts it."""
    if _append(store, run_id, log, asked, event) is None:
        return
    code = event[1].get("code")
    error = re.sub(r"http_([345])\d\d", r"http_\1xx", code) if code else None
    kind = {"tool.kind": tool.execution_type if tool else "none"}
    measure({metrics.TOOL_DURATION: event[1]["duration_ms"] / 1000}, kind, error=error, tool=asked.name)


def _current(log: Log, tool_call_id: str) -> ToolCall:
    seen = conversation.replay(log.events)
    if seen.end is not None:
        raise RunCancelled("The run is over.")
    if tool_call_id not in seen.calls:
        raise RunCancelled("The run never asked for this tool call.")
    return seen.calls[tool_call_id]


def _append(
    store: TenantStore, run_id: str, log: Log, asked: ToolCall, event: tuple[str, dict[str, Any]]
) -> Log | None:
    """Add an event of this call behind whatever other calls wrote meanwhile.

    Returns:
        The log with the event; None if the call had got further without us.

    Raises:
        RunCancelled: the run is over.
    """
    for attempt in range(_APPEND_ATTEMPTS):
        try:
            store.write(run_log.append(run_id, log.tail, [event]))
        except ConditionFailed:
            step_aside(attempt)
            log = run_log.read(store, run_id)
            now = _current(log, asked.id)
            if now.ended or (event[0] == "tool.started" and now.status == "started"):
                return None
            continue
        written = run_log.Event(log.tail + 1, *event, clock.now())
        return Log([*log.events, written], log.heads)
    raise RunError("Too many calls wrote to the run's log at once.")


def _error(asked: ToolCall, code: str, detail: str, duration_ms: int) -> tuple[str, dict[str, Any]]:
    status = "unknown" if code == "unknown" else "failed"
    data = {"tool_call_id": asked.id, "name": asked.name, "status": status, "code": code, "error": detail}
    return "tool.error", data | {"duration_ms": duration_ms}


def _since(begun: float) -> int:
    return round((time.monotonic() - begun) * 1000)


def _carry_out(
    store: TenantStore,
    plan: Plan,
    tool: PlannedTool | None,
    asked: ToolCall,
    run: Run,
    leave: Leave,
    *,
    counts: bool,
) -> str:
    if tool is None:
        raise ToolError("unknown_tool", f"The agent has no tool named {asked.function_name!r}.")
    if not tool.permitted:
        raise ToolError("permission_denied", "This tool may write, and the caller of the run lacks tools:write.")
    given = arguments.parse(asked.arguments, tool.input_schema)
    seconds = min(tool.timeout_ms, settings().tool_max_timeout_ms) / 1000
    seconds = min(seconds, clock.seconds_until(plan.deadline_at))
    if seconds <= 0:
        raise ToolError("timeout", "The run has no time left for this call.")
    if tool.rate_limit and counts:
        # A repetition after a crash was counted when it was first started.
        _count(store, limits.of_binding(run.agent_id or "", tool.tool_id), tool.rate_limit)
    asker = Asker(run.tenant_id, run.agent_id or "", run.id, asked.id)
    outgoing = Outgoing(asker, run.trace_id, time.monotonic() + seconds, leave)
    if tool.execution_type == "http_webhook":
        return webhooks.call(tool, given, outgoing)
    if tool.name == "http_get":
        return webhooks.fetch(tool, given, outgoing)
    return webhooks.capped(json.dumps(internal_tools.run(tool.name, given), ensure_ascii=False))


def _count(store: TenantStore, name: str, limit: str) -> None:
    """Count the call, before anything is sent; 1 request."""
    try:
        limits.take(store, name, [limit])
    except RateLimited as error:
        raise ToolError("rate_limited", f"The binding allows {limit}. {error.detail}") from error
