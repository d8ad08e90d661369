"""Tool calls over HTTP: webhooks of tenants, and the platform's own `http_get`."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import SystemRandom
from typing import Any

from shared import json_text
from shared.clients import http, oauth2
from shared.clients.address import parse_url
from shared.config import settings
from shared.domain import tool_proofs, tool_requests
from shared.domain.leaves import Leave
from shared.domain.plans import PlannedTool
from shared.domain.tool_proofs import Asker
from shared.errors import ToolError

MAX_ANSWER_BYTES = 100_000
_TRANSIENT_STATUS = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What the sender of a call needs beside the tool: for whom, with which trace, until when, and by whose leave."""

    asker: Asker
    trace_id: str
    deadline: float
    leave: Leave


def call(tool: PlannedTool, given: dict[str, Any], outgoing: Outgoing) -> str:
    """Call a webhook. What it answers, without our secrets.

    Raises:
        ToolError: whatever went wrong.
        RunCancelled: the run was ended before anything was sent, or before it was sent again.
    """
    request = tool_requests.build(tool, given)
    own_host = parse_url(tool.endpoint or "").host
    allowed = frozenset(tool.allowed_domains) or frozenset({own_host})
    headers = {
        **request.headers,
        "Idempotency-Key": f"{outgoing.asker.run_id}:{outgoing.asker.tool_call_id}",
        "X-Trace-Id": outgoing.trace_id,
        "User-Agent": "agent-platform",
        "Accept": "application/json, text/*;q=0.9, */*;q=0.1",
    }
    if own_host not in allowed:
        # Refused before a token is asked for, and before a secret is looked up.
        raise ToolError(http.HostNotAllowed.code, f"{own_host} is not an allowed host")
    for _ in range(2):
        outgoing.leave.check()
        proof = tool_proofs.of(tool, outgoing.asker, outgoing.deadline)
        answer = _send(
            tool,
            request.url,
            outgoing,
            headers=headers | proof.headers,
            json_body=request.json_body,
            params=request.params,
            allowed=allowed,
        )
        if answer.status != 401 or proof.kept is None:
            break
        oauth2.forget(proof.kept)
        if not tool.idempotent:
            break
    text = proof.scrubbed(answer.body.decode("utf-8", "replace"))
    if answer.status >= 400:
        raise ToolError(f"http_{answer.status}", f"The tool answered {answer.status}: {text[:500]}")
    return capped(text)


def fetch(tool: PlannedTool, given: dict[str, Any], outgoing: Outgoing) -> str:
    """Read an address on one of the binding's domains (`http_get`). Raises as `call`."""
    headers = {"User-Agent": "agent-platform", "X-Trace-Id": outgoing.trace_id}
    url = str(given.get("url", ""))
    answer = _send(tool, url, outgoing, headers=headers, allowed=frozenset(tool.allowed_domains), method="GET")
    if answer.status >= 400:
        raise ToolError(f"http_{answer.status}", f"The address answered {answer.status}.")
    return capped(answer.body.decode("utf-8", "replace"))


def capped(text: str) -> str:
    """The text, if the log can carry it."""
    if json_text.size(text) > MAX_ANSWER_BYTES:
        raise ToolError("answer_too_large", f"The tool's answer is larger than {MAX_ANSWER_BYTES} bytes.")
    return text


def _send(
    tool: PlannedTool,
    url: str,
    outgoing: Outgoing,
    *,
    headers: Mapping[str, str],
    allowed: frozenset[str],
    json_body: object | None = None,
    params: Sequence[tuple[str, str]] = (),
    method: str | None = None,
) -> http.HttpAnswer:
    """Send, and repeat what failed in passing: anything for an idempotent tool, else only what was never sent."""
    repeatable = tool.idempotent or method == "GET"
    for attempt in range(settings().tool_retry_attempts + 1):
        left_ms = int((outgoing.deadline - time.monotonic()) * 1000)
        last = attempt == settings().tool_retry_attempts or left_ms <= 1
        outgoing.leave.check()
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
        time.sleep(min(SystemRandom().uniform(0.05, 0.2) * 2**attempt, max(0.0, outgoing.deadline - time.monotonic())))
    raise AssertionError("the last attempt returns or raises")
