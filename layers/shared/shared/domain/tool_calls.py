"""One tool call of a run: checked, guarded, carried out at most once, written down.

The log is the ledger: `tool.started` is the intent, written on the condition that nobody else wrote it, before
anything is sent; `tool.completed` or `tool.error` ends it. A call that was started and not ended is repeated only if
its tool is declared idempotent; otherwise it ends `unknown`, and the model and the reader are told so.
"""

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shared import clock, json_text
from shared.clients import http
from shared.clients.address import parse_url
from shared.config import settings, tool_secret
from shared.domain import arguments, conversation, internal_tools, runs
from shared.domain.conversation import ToolCall
from shared.domain.plans import Plan, PlannedTool
from shared.errors import ConditionFailed, RunCancelled, RunError, ToolError
from shared.store import run_log
from shared.store.run_log import Log
from shared.store.table import TenantStore

MAX_ANSWER_BYTES = 100_000
_APPEND_ATTEMPTS = 60
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the sender of a call needs beside the tool: who asks, under which key, and until when."""

    idempotency_key: str
    trace_id: str
    deadline: float


def call(store: TenantStore, run_id: str, tool_call_id: str) -> None:
    """Carry out one tool call; 1 read and 2 writes. A failure is the call's result, never the run's end.

    Raises:
        RunCancelled: the run is over or never asked for this call.
    """
    log, run, plan = runs.open_log(store, run_id)
    asked = _current(log, tool_call_id)
    if asked.ended:
        return
    tool = plan.tool_for(asked.function_name)
    if asked.status == "started" and not (tool and tool.idempotent):
        _append(
            store,
            run_id,
            log,
            asked,
            _error(asked, "unknown", "It is unknown whether the call took effect.", 0),
        )
        return
    if asked.status == "asked":
        started = {"tool_call_id": asked.id, "name": asked.name, "args": conversation.arguments_of(asked)}
        if (now := _append(store, run_id, log, asked, ("tool.started", started))) is None:
            return
        log = now
    begun = time.monotonic()
    try:
        output = _carry_out(plan, tool, asked, run_id, run.trace_id)
    except ToolError as error:
        ended = _error(asked, error.code, error.detail, _since(begun))
    else:
        done = {"tool_call_id": asked.id, "name": asked.name, "output": output, "duration_ms": _since(begun)}
        ended = ("tool.completed", done)
    _append(store, run_id, log, asked, ended)


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
            time.sleep(random.uniform(0, 0.002 * min(attempt + 1, 10)))
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


def _carry_out(plan: Plan, tool: PlannedTool | None, asked: ToolCall, run_id: str, trace_id: str) -> str:
    if tool is None:
        raise ToolError("unknown_tool", f"The agent has no tool named {asked.function_name!r}.")
    if not tool.permitted:
        raise ToolError("permission_denied", "This tool may write, and the caller of the run lacks tools:write.")
    given = arguments.parse(asked.arguments, tool.input_schema)
    seconds = min(tool.timeout_ms, settings().tool_max_timeout_ms) / 1000
    seconds = min(seconds, clock.seconds_until(plan.deadline_at))
    if seconds <= 0:
        raise ToolError("timeout", "The run has no time left for this call.")
    outgoing = Outgoing(f"{run_id}:{asked.id}", trace_id, time.monotonic() + seconds)
    if tool.execution_type == "http_webhook":
        return _webhook(tool, given, outgoing)
    if tool.name == "http_get":
        return _fetch(tool, given, outgoing)
    return _capped(json.dumps(internal_tools.run(tool.name, given), ensure_ascii=False))


def _webhook(tool: PlannedTool, given: dict[str, Any], outgoing: Outgoing) -> str:
    url = tool.endpoint or ""
    headers = {
        "Idempotency-Key": outgoing.idempotency_key,
        "X-Trace-Id": outgoing.trace_id,
        "User-Agent": "agent-platform",
        "Accept": "application/json, text/*;q=0.9, */*;q=0.1",
    }
    secret = _secret(tool)
    if secret is not None:
        name = tool.auth_config.header
        headers |= {name: secret} if name else {"Authorization": f"Bearer {secret}"}
    in_query = tool.http_method in {"GET", "DELETE"}
    answer = _send(
        tool,
        url,
        outgoing,
        headers=headers,
        json_body=None if in_query else given,
        params={name: _as_text(value) for name, value in given.items()} if in_query else None,
        allowed=frozenset(tool.allowed_domains) or frozenset({parse_url(url).host}),
    )
    text = answer.body.decode("utf-8", "replace")
    if secret is not None:
        # A tool that echoes its request must not carry the secret into the log or the model.
        for form in {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}:
            text = text.replace(form, "[secret]")
    if answer.status >= 400:
        raise ToolError(f"http_{answer.status}", f"The tool answered {answer.status}: {text[:500]}")
    return _capped(text)


def _fetch(tool: PlannedTool, given: dict[str, Any], outgoing: Outgoing) -> str:
    headers = {"User-Agent": "agent-platform", "X-Trace-Id": outgoing.trace_id}
    url = str(given.get("url", ""))
    answer = _send(tool, url, outgoing, headers=headers, allowed=frozenset(tool.allowed_domains), method="GET")
    if answer.status >= 400:
        raise ToolError(f"http_{answer.status}", f"The address answered {answer.status}.")
    return _capped(answer.body.decode("utf-8", "replace"))


def _send(
    tool: PlannedTool,
    url: str,
    outgoing: Outgoing,
    *,
    headers: Mapping[str, str],
    allowed: frozenset[str],
    json_body: object | None = None,
    params: Mapping[str, str] | None = None,
    method: str | None = None,
) -> http.HttpAnswer:
    """Send, and repeat what failed in passing: anything for an idempotent tool, else only what was never sent."""
    repeatable = tool.idempotent or method == "GET"
    for attempt in range(settings().tool_retry_attempts + 1):
        left_ms = int((outgoing.deadline - time.monotonic()) * 1000)
        last = attempt == settings().tool_retry_attempts or left_ms <= 1
        try:
            answer = http.send(
                method or tool.http_method,
                url,
                headers=headers,
                json_body=json_body,
                params=params,
                timeout_ms=max(1, left_ms),
                max_bytes=MAX_ANSWER_BYTES,
                allowed_hosts=allowed,
                private_hosts=settings().tool_private_hosts,
            )
        except http.HttpError as error:
            passing = isinstance(error, http.ConnectFailed | http.ProtocolFailed | http.HttpTimeout)
            if last or not passing or (error.sent and not repeatable):
                raise ToolError(error.code, str(error)) from error
        else:
            if last or not repeatable or answer.status not in _TRANSIENT_STATUS:
                return answer
        time.sleep(min(random.uniform(0.05, 0.2) * 2**attempt, max(0.0, outgoing.deadline - time.monotonic())))
    raise AssertionError("the last attempt returns or raises")


def _secret(tool: PlannedTool) -> str | None:
    if tool.auth_type == "none":
        return None
    secret = tool_secret(tool.secrets_ref) if tool.secrets_ref else None
    if not secret:
        raise ToolError("secret_missing", "The binding names no secret that this deployment has.")
    return secret


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _capped(text: str) -> str:
    if json_text.size(text) > MAX_ANSWER_BYTES:
        raise ToolError("answer_too_large", f"The tool's answer is larger than {MAX_ANSWER_BYTES} bytes.")
    return text
