"""Agents: a model, its instructions, and the tools bound to it."""

from typing import Annotated, Any, Literal

from pydantic import Field, computed_field

from shared import clock
from shared.config import settings
from shared.domain import bindings, named, tools
from shared.domain.bindings import Binding
from shared.domain.fields import Model, Name, Prompt, ShortText, SmallObject, Tags, left_out
from shared.domain.models import ModelName
from shared.errors import ConditionFailed, Conflict, NotFound
from shared.store import keys
from shared.store.table import Exists, Item, Page, TenantStore, Write


class LlmParams(Model):
    """Parameters of the chat completion, by the names of the OpenAI API. Anything else is refused."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**53) + 1, le=2**53 - 1)] | None = None
    stop: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=4)] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    response_format: SmallObject | None = None


class AgentFields(Model):
    """What a client may set."""

    name: Name
    role: ShortText = ""
    description: ShortText = ""
    system_prompt: Prompt = ""
    model: ModelName | None = None
    llm_params: LlmParams = LlmParams()
    kind: Literal["llm"] = "llm"
    status: Literal["draft", "published"] = "draft"
    tags: Tags = []


class AgentCreate(AgentFields):
    """A new agent. `tool_ids` binds tools with the defaults of a binding."""

    tool_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=bindings.MAX_PER_AGENT)] = []
    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class AgentReplace(AgentFields):
    """All that a client may set; what is left out goes back to its default. `version` is read from `If-Match` only."""

    version: int | None = None


class AgentPatch(Model):
    """The fields to change; the others stay."""

    name: Name = left_out()
    role: ShortText = left_out()
    description: ShortText = left_out()
    system_prompt: Prompt = left_out()
    model: ModelName | None = None
    llm_params: LlmParams = left_out()
    kind: Literal["llm"] = left_out()
    status: Literal["draft", "published"] = left_out()
    tags: Tags = left_out()


class Agent(named.Named):
    """An agent of a tenant."""

    tenant_id: str
    owner_user_id: str
    role: str
    description: str
    system_prompt: str
    model: str
    llm_params: dict[str, Any]
    kind: Literal["llm"]
    status: Literal["draft", "published"]
    tags: list[str]
    created_at: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def user_id(self) -> str:
        """The owner, by the name that document 2 uses."""
        return self.owner_user_id


def read(item: Item) -> Agent:
    return Agent.model_validate_json(item.doc)


def create(store: TenantStore, draft: AgentCreate, owner: str) -> Agent:
    """Create an agent, and bind its tools; 1 transaction (and 1 read if tools are named).

    Raises:
        Unprocessable: the name is reserved.
        NotFound: one of the tools does not exist.
        NameTaken: the name is taken in this tenant.
    """
    named.check_name(draft.name)
    moment = clock.now()
    agent = Agent(
        id=store.new_id(),
        tenant_id=store.tenant_id,
        owner_user_id=owner,
        created_at=moment,
        updated_at=moment,
        version=draft.version,
        **_fields(draft),
    )
    tool_ids = list(dict.fromkeys(draft.tool_ids))
    found = tools.get_many(store, tool_ids)
    if missing := [tool_id for tool_id in tool_ids if tool_id not in found]:
        raise NotFound(f"No such tool: {missing[0]}.")
    bound = [bindings.new(store, agent.id, tool_id, bindings.BindingCreate()) for tool_id in tool_ids]
    more: list[Write] = [bindings.uses(binding) for binding in bound]
    more += [Exists(keys.tool(tool_id)) for tool_id in tool_ids]
    parts = {binding.tool_id: binding.model_dump_json() for binding in bound}
    try:
        return named.create(store, keys.AGENTS, agent, more, parts)
    except ConditionFailed as error:
        raise NotFound("One of the tools was deleted just now.") from error


def get(store: TenantStore, ref: str) -> Agent:
    """An agent by id or name."""
    return read(find(store, ref))


def find(store: TenantStore, ref: str) -> Item:
    """An agent's item, with its bindings in its parts; 1 request by id, 2 by name."""
    return named.find(store, keys.AGENTS, ref, "agent")


def to_run(store: TenantStore, ref: str) -> tuple[Agent, list[Binding]]:
    """The agent and its bindings as a run that begins now is to see them; 1 request by id."""
    item = find(store, ref)
    return read(item), bindings.of_agent(item)


def page(store: TenantStore, limit: int, after: str | None) -> Page:
    """A page of agents, newest first; 1 request."""
    return named.newest(store, keys.AGENTS, limit, after)


def replace(store: TenantStore, ref: str, draft: AgentReplace, expected: int | None) -> Agent:
    """Set everything that a client may set.

    Raises:
        NotFound, NameTaken, VersionConflict: see `named.update`.
    """
    return _update(store, ref, _fields(draft), expected)


def update(store: TenantStore, ref: str, patch: AgentPatch, expected: int | None) -> Agent:
    """Set the fields given. Raises as `replace`."""
    given = {name: value for name, value in _fields(patch).items() if name in patch.model_fields_set}
    return _update(store, ref, given, expected)


def delete(store: TenantStore, ref: str) -> None:
    """Soft delete: gone from reads and lists, its tools released; 1 transaction."""
    item = find(store, ref)
    try:
        named.remove(store, keys.AGENTS, item, read(item), bindings.release(item))
    except ConditionFailed as error:
        raise Conflict("The agent was changed just now; try again.") from error


def _update(store: TenantStore, ref: str, fields: dict[str, Any], expected: int | None) -> Agent:
    if "name" in fields:
        named.check_name(fields["name"])

    def change(agent: Agent) -> Agent:
        return agent.model_copy(update=fields)

    return named.update(store, keys.AGENTS, ref, "agent", read=read, change=change, expected=expected)


def _fields(draft: AgentFields | AgentPatch) -> dict[str, Any]:
    """What a client may set, as the agent keeps it. What a patch leaves out is None."""
    fields = {name: getattr(draft, name) for name in AgentFields.model_fields}
    return fields | {
        "model": draft.model or settings().default_model,
        "llm_params": draft.llm_params and draft.llm_params.model_dump(exclude_none=True),
    }
