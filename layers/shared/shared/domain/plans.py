"""The plan of a run: what the agent was when the run began. It is pinned, so later edits change later runs only."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shared.domain.budgets import Budget
from shared.domain.fields import Inner
from shared.domain.internal_tools import schema_of
from shared.domain.prices import Price, price_of
from shared.domain.tool_requests import ArgumentPlace
from shared.domain.tools import AuthConfig, AuthType, HttpMethod, Tool

if TYPE_CHECKING:
    from shared.domain.agents import Agent
    from shared.domain.bindings import Binding

MAX_BYTES = 300_000
"""The plan is one part of one item, and an item holds 400 KB (Amazon DynamoDB quotas)."""


class RunLimits(Inner):
    """What one run may use up at most.

    Attributes:
        bounds_answers: no single answer may have more tokens than are left of `max_tokens`.
    """

    max_steps: int
    max_tokens: int
    max_seconds: int
    max_cost_usd: str | None = None
    bounds_answers: bool = False


class PlannedTool(Inner):
    """A tool with its binding, as the run sees it."""

    tool_id: str
    name: str
    function_name: str
    description: str
    input_schema: dict[str, Any]
    execution_type: Literal["http_webhook", "internal"]
    endpoint: str | None
    http_method: HttpMethod
    argument_places: dict[str, ArgumentPlace] = {}
    auth_type: AuthType
    auth_config: AuthConfig
    idempotent: bool
    permission_scope: Literal["read", "write"]
    permitted: bool
    timeout_ms: int
    allowed_domains: list[str]
    secrets_ref: str | None
    rate_limit: str | None = None


class Terms(Protocol):
    """On which terms a tool is called: those of a binding, or of a direct call."""

    @property
    def permission_scope(self) -> Literal["read", "write"]: ...

    @property
    def timeout_ms(self) -> int: ...

    @property
    def allowed_domains(self) -> list[str]: ...

    @property
    def secrets_ref(self) -> str | None: ...


class PlannedHistory(Inner):
    """The turns of the session that came before the run."""

    uid: str
    turns: int


class PlannedCode(Inner):
    """The version of an agent's own code that the run uses.

    Attributes:
        version_id: of the version. key: of its bundle.
        seconds: how long it may work on its answer. memory: in mebibytes.
    """

    version_id: str
    key: str
    entrypoint: str
    seconds: int
    memory: int


class Plan(Inner):
    """Everything that the workers of a run need to know."""

    model: str
    llm_params: dict[str, Any]
    system_prompt: str
    tools: list[PlannedTool]
    limits: RunLimits
    deadline_at: str
    history: PlannedHistory | None = None
    stream: bool = False
    price: Price | None = None
    budgets: Sequence[Budget] = ()
    code: PlannedCode | None = None

    def text(self) -> str:
        """The plan as it is kept, without what it need not say: most plans fit a kilobyte, and so one write unit."""
        return self.model_dump_json(exclude_defaults=True)

    def tool_for(self, function_name: str) -> PlannedTool | None:
        """The tool that the model means by this function name."""
        return next((tool for tool in self.tools if tool.function_name == function_name), None)


def make(
    agent: "Agent",
    bindings: "list[Binding]",
    tools: dict[str, Tool],
    *,
    limits: RunLimits,
    deadline_at: str,
    may_write: bool,
    stream: bool = False,
    budgets: Sequence[Budget] = (),
) -> Plan:
    """The plan for a run of this agent as it is now. Bindings whose tool is gone are left out.

    Args:
        may_write: whether the caller of the run holds `tools:write`; without it, tools bound with `write` refuse.
        stream: whether somebody watches: the model's answers then come as `message.delta` events too.
        budgets: what the run draws on together with others.
    """
    planned: list[PlannedTool] = []
    for binding in bindings:
        tool = tools.get(binding.tool_id)
        if tool is not None:
            name = function_name(tool.name, {other.function_name for other in planned})
            planned.append(plan_tool(tool, binding, name, may_write=may_write, rate_limit=binding.rate_limit))
    return Plan(
        model=agent.model,
        llm_params=agent.llm_params,
        system_prompt=_instructions(agent),
        tools=planned,
        limits=limits,
        deadline_at=deadline_at,
        stream=stream,
        price=price_of(agent.model),
        budgets=tuple(budgets),
    )


def plan_tool(
    tool: Tool, terms: Terms, function_name: str, *, may_write: bool, rate_limit: str | None = None
) -> PlannedTool:
    """A tool as the run sees it, on the terms of a binding or of a direct call."""
    return PlannedTool(
        tool_id=tool.id,
        name=tool.name,
        function_name=function_name,
        description=tool.description,
        input_schema=tool.input_schema or (schema_of(tool.name) if tool.execution_type == "internal" else {}),
        execution_type=tool.execution_type,
        endpoint=tool.endpoint,
        http_method=tool.http_method,
        argument_places=tool.argument_places,
        auth_type=tool.auth_type,
        auth_config=tool.auth_config,
        idempotent=tool.idempotent,
        permission_scope=terms.permission_scope,
        permitted=terms.permission_scope == "read" or may_write,
        timeout_ms=terms.timeout_ms,
        allowed_domains=terms.allowed_domains,
        secrets_ref=terms.secrets_ref,
        rate_limit=rate_limit,
    )


def function_name(name: str, taken: set[str]) -> str:
    """A tool's name as the OpenAI API takes it (``^[a-zA-Z0-9_-]{1,64}$``), unlike those taken."""
    base = re.sub(r"[^a-zA-Z0-9_-]+", "_", name).strip("_")[:60] or "tool"
    candidate, n = base, 2
    while candidate in taken:
        candidate, n = f"{base}_{n}", n + 1
    return candidate


def _instructions(agent: "Agent") -> str:
    about = [
        f"You are {agent.name}, {agent.role}." if agent.role else "",
        agent.description if agent.role else "",
    ]
    return "\n\n".join(part for part in (*about, agent.system_prompt) if part)
