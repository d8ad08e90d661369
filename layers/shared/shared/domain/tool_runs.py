"""Runs of kind `tool`: one call of one tool, without an agent and without a model.

The log begins with the call, as if a model had asked for it. From there on everything is as in an agent's run: the
machine, the guards, the ledger and the one end.
"""

import json
import math
from typing import Annotated, Any, Literal

from pydantic import Field

from shared import clock
from shared.domain import plans, runs, tools
from shared.domain.bindings import Hostname, SecretRef, TimeoutMs, default_timeout_ms
from shared.domain.fields import Model, json_size
from shared.domain.plans import Plan, RunLimits
from shared.domain.run_records import Run
from shared.domain.runs import Starter
from shared.errors import Conflict
from shared.store import ids
from shared.store.table import TenantStore

TOOL_CALL_ID = "call_1"
_MAX_ARGS_BYTES = 65_536
# What a run needs beside the call itself: cold starts, and the machine's own retries.
_MARGIN_SECONDS = 20


class ToolExecute(Model):
    """A call of a tool, on terms that a binding would set. An empty `allowed_domains` allows the tool's own host."""

    args: Annotated[dict[str, Any], json_size(_MAX_ARGS_BYTES)] = {}
    secrets_ref: SecretRef | None = None
    timeout_ms: TimeoutMs = Field(default_factory=default_timeout_ms)
    allowed_domains: Annotated[list[Hostname], Field(max_length=10)] = []

    @property
    def permission_scope(self) -> Literal["read", "write"]:
        """Nothing restricts a direct call, so it may write, and whoever asks needs `tools:write`."""
        return "write"


def start(
    store: TenantStore,
    tool_ref: str,
    draft: ToolExecute,
    starter: Starter,
    *,
    test: bool = False,
    background: bool = False,
) -> Run:
    """Call a tool and wait for it, at most `SYNC_WAIT_SECONDS`; not at all in the background.

    Returns:
        The run. One that has not ended goes on.

    Raises:
        NotFound, Conflict: see `begin`.
        Unavailable: the machine could not be started.
    """
    return runs.carry_out(store, *begin(store, tool_ref, draft, starter, test=test, background=background))


def begin(
    store: TenantStore, tool_ref: str, draft: ToolExecute, starter: Starter, *, test: bool, background: bool
) -> tuple[Run, bool]:
    """Write the run, and the first events of its log with the call in them; 1 transaction. No machine is started.

    Returns:
        The run, and whether it is new: the first try of an idempotent request may have begun it.

    Raises:
        NotFound: no such tool.
        Conflict: the tool is deprecated, and this is no test.
    """
    tool = tools.get(store, tool_ref)
    if tool.status == "deprecated" and not test:
        raise Conflict("The tool is deprecated; it can be tested, or deployed again.", code="tool_is_deprecated")
    arguments = json.dumps(draft.args, ensure_ascii=False)
    seconds = math.ceil(draft.timeout_ms / 1000) + _MARGIN_SECONDS
    moment, run_id = clock.now(), store.new_id()
    run = Run(
        id=run_id,
        tenant_id=store.tenant_id,
        session_id=run_id,
        trace_id=starter.trace_id,
        kind="tool",
        test=test,
        status="running",
        input_message=arguments,
        metadata={},
        created_at=clock.iso(ids.made_at(run_id)),
        started_at=moment,
        updated_at=moment,
        deadline_at=clock.in_seconds(seconds),
        background=background,
        user_id=starter.user_id,
    )
    function_name = plans.function_name(tool.name, set())
    plan = Plan(
        model="",
        llm_params={},
        system_prompt="",
        tools=[plans.plan_tool(tool, draft, function_name, may_write=True)],
        limits=RunLimits(max_steps=1, max_tokens=0, max_seconds=seconds),
        deadline_at=run.deadline_at,
    )
    call = {"id": TOOL_CALL_ID, "name": tool.name, "function_name": function_name, "arguments": arguments}
    asked = {"step": 1, "content": None, "tool_calls": [call]}
    return runs.record(store, run, plan, [("message.completed", asked)])
