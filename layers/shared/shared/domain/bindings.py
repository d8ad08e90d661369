"""Bindings: a tool given to an agent, with what it may do there.

An agent's bindings are parts of the agent's own item, so that a run reads both in one request; a second item under
the tool says which agents use it.
"""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from shared import clock
from shared.clients.address import canonical_host
from shared.config import settings
from shared.domain import named, tools
from shared.domain.fields import Model, Record, Whole
from shared.domain.limits import RateLimit
from shared.errors import ConditionFailed, Conflict, NotFound
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import Change, Exists, Item, Put, Remove, TenantStore, Write

# Creating an agent with all its tools is one transaction of two writes a tool, and a transaction holds 100.
MAX_PER_AGENT = 40


Hostname = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(canonical_host)]
SecretRef = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
TimeoutMs = Annotated[Whole, Field(ge=1, le=60_000, description="TOOL_DEFAULT_TIMEOUT_MS if left out.")]


def default_timeout_ms() -> int:
    """The time of a call for which nobody named one."""
    return settings().tool_default_timeout_ms


class BindingCreate(Model):
    """What a tool may do for an agent.

    `permission_scope` `write` needs the scope `tools:write`, of whoever binds and of whoever runs the agent.
    An empty `allowed_domains` allows the tool's own host only.
    """

    permission_scope: Literal["read", "write"] = "read"
    timeout_ms: TimeoutMs = Field(default_factory=default_timeout_ms)
    rate_limit: RateLimit | None = None
    allowed_domains: Annotated[list[Hostname], Field(max_length=10)] = []
    secrets_ref: SecretRef | None = None


class Binding(Record):
    """A tool given to an agent."""

    id: str
    tenant_id: str
    agent_id: str
    tool_id: str
    permission_scope: Literal["read", "write"]
    timeout_ms: int
    rate_limit: str | None
    allowed_domains: list[str]
    secrets_ref: str | None
    created_at: str
    updated_at: str


def new(store: TenantStore, agent_id: str, tool_id: str, draft: BindingCreate) -> Binding:
    """A binding that is not stored yet."""
    moment = clock.now()
    return Binding(
        id=new_id(),
        tenant_id=store.tenant_id,
        agent_id=agent_id,
        tool_id=tool_id,
        created_at=moment,
        updated_at=moment,
        **draft.model_dump(),
    )


def copied(binding: Binding, agent_id: str) -> Binding:
    """The same for another agent; not stored yet."""
    moment = clock.now()
    return binding.model_copy(update={"id": new_id(), "agent_id": agent_id, "created_at": moment, "updated_at": moment})


def of_agent(agent: Item) -> list[Binding]:
    """The bindings in an agent's item, oldest first."""
    found = [Binding.model_validate_json(text) for text in agent.parts.values()]
    return sorted(found, key=lambda binding: (binding.created_at, binding.id))


def uses(binding: Binding) -> Put:
    """The write that says, under the tool, that this agent uses it."""
    return Put(keys.use_of_tool(binding.tool_id, binding.agent_id), json.dumps(binding.id), when=None)


def release(agent: Item) -> list[Write]:
    """The writes that take an agent, which is about to go, from its tools."""
    return [Remove(keys.use_of_tool(tool_id, agent.sort), must_exist=False) for tool_id in agent.parts]


def bind(store: TenantStore, agent_ref: str, tool_ref: str, draft: BindingCreate) -> tuple[Binding, bool]:
    """Give a tool to an agent, or replace how it was given; 2 reads by id and 1 transaction.

    Returns:
        The binding, and whether it is new.

    Raises:
        NotFound: no such agent or tool.
        Conflict: the agent has 40 tools already.
    """
    agent = named.find(store, keys.AGENTS, agent_ref, "agent")
    tool = named.find(store, keys.TOOLS, tool_ref, "tool")
    binding = new(store, agent.sort, tool.sort, draft)
    old = agent.parts.get(tool.sort)
    if old is not None:
        first = Binding.model_validate_json(old)
        binding = binding.model_copy(update={"id": first.id, "created_at": first.created_at})
    room = None if old is not None else MAX_PER_AGENT
    try:
        store.write(
            Change(keys.agent(agent.sort), set_parts={tool.sort: binding.model_dump_json()}, max_parts=room),
            uses(binding),
            Exists(keys.tool(tool.sort)),
        )
    except ConditionFailed as error:
        if 2 in error.failed:
            raise NotFound("No such tool.") from error
        # The agent is gone, or it has no room.
        named.find(store, keys.AGENTS, agent.sort, "agent")
        raise Conflict(f"An agent has at most {MAX_PER_AGENT} tools.") from error
    return binding, old is None


def listed(store: TenantStore, agent_ref: str) -> list[Binding]:
    """All bindings of an agent (at most 40), oldest first; 1 request by id."""
    return of_agent(named.find(store, keys.AGENTS, agent_ref, "agent"))


def get(store: TenantStore, agent_ref: str, tool_ref: str) -> Binding:
    """One binding, by the ids or names of its agent and tool."""
    agent = named.find(store, keys.AGENTS, agent_ref, "agent")
    text = agent.parts.get(tools.resolve_id(store, tool_ref))
    if text is None:
        raise NotFound("No such binding.")
    return Binding.model_validate_json(text)


def unbind(store: TenantStore, agent_ref: str, tool_ref: str) -> None:
    """Take a tool from an agent; 1 transaction.

    Raises:
        NotFound: no such agent, or it does not have the tool.
    """
    agent = named.find(store, keys.AGENTS, agent_ref, "agent")
    tool_id = tools.resolve_id(store, tool_ref)
    try:
        store.write(
            Change(keys.agent(agent.sort), drop_parts=(tool_id,), needs_parts=(tool_id,)),
            Remove(keys.use_of_tool(tool_id, agent.sort), must_exist=False),
        )
    except ConditionFailed as error:
        raise NotFound("No such binding.") from error
