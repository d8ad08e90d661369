"""Agents: a model, its instructions, and the tools bound to it.

The agent's item is its working copy. What it was each time it was published stays as a version; runs use those.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import Field, computed_field

from shared import clock
from shared.config import settings
from shared.domain import agent_kinds, bindings, named, tools
from shared.domain.agent_kinds import Kind, ShownStatus, Status
from shared.domain.bindings import Binding
from shared.domain.fields import (
    Flag,
    Model,
    Name,
    Number,
    Prompt,
    Record,
    ShortText,
    SmallObject,
    Tags,
    Whole,
    left_out,
)
from shared.domain.models import ModelName
from shared.domain.tools import Tool
from shared.errors import ConditionFailed, Conflict, NotFound
from shared.store import keys
from shared.store.ids import is_id, new_id
from shared.store.table import Exists, Item, Put, TenantStore, Write
from shared.store.writes import Lists


class LlmParams(Model):
    """Parameters of the chat completion, by the names of the OpenAI API. Anything else is refused."""

    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    max_tokens: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    max_completion_tokens: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    seed: Annotated[Whole, Field(ge=-(2**53) + 1, le=2**53 - 1)] | None = None
    stop: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=4)] | None = None
    parallel_tool_calls: Flag | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    response_format: SmallObject | None = None


class AgentFields(Model):
    """What a client may set."""

    name: Name
    role: ShortText = ""
    description: ShortText = ""
    system_prompt: Prompt = ""
    model: ModelName | None = None
    llm_params: LlmParams = LlmParams.model_construct()
    kind: Kind = "llm"
    status: Status = "draft"
    tags: Tags = []


class AgentCreate(AgentFields):
    """A new agent. `tool_ids` binds tools with the defaults of a binding."""

    tool_ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=bindings.MAX_PER_AGENT)] = []
    version: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1


class AgentReplace(AgentFields):
    """All that a client may set; what is left out goes back to its default. `version` is read from `If-Match` only."""

    version: Whole | None = None


class AgentPatch(Model):
    """The fields to change; the others stay."""

    name: Name = left_out()
    role: ShortText = left_out()
    description: ShortText = left_out()
    system_prompt: Prompt = left_out()
    model: ModelName | None = None
    llm_params: LlmParams = left_out()
    kind: Kind = left_out()
    status: Status = left_out()
    tags: Tags = left_out()


class Agent(named.Named):
    """An agent of a tenant: its working copy, and which of its versions runs use.

    `current_version` is the one that was published or activated last, `live_version` the one that is deployed. Of an
    agent of kind `code`, the current version is the latest that is ready, and the status tells of the last upload.
    """

    tenant_id: str
    owner_user_id: str
    role: str
    description: str
    system_prompt: str
    model: str
    llm_params: dict[str, Any]
    kind: Kind
    status: ShownStatus
    tags: list[str]
    current_version: int | None = None
    current_version_id: str | None = None
    live_version: int | None = None
    created_at: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def user_id(self) -> str:
        """The owner, by the name that document 2 uses."""
        return self.owner_user_id

    @computed_field  # type: ignore[prop-decorator]
    @property
    def deployment(self) -> Literal["none", "live"]:
        """Whether a version is deployed, which then runs whatever is published later."""
        return "none" if self.live_version is None else "live"

    @property
    def lists(self) -> Lists:
        return {keys.GROUP: keys.group(keys.AGENTS, self.kind, self.status)}

    @property
    def version_to_run(self) -> int | None:
        """The version that a run uses which begins now; None for the working copy."""
        if self.kind == "code":
            return self.live_version or self.current_version
        return self.live_version or (self.current_version if self.status == "published" else None)


class AgentVersion(Record):
    """What an agent was when it was published, with its bindings. It never changes.

    A version that was made together with its agent has no bindings of its own, since tools are bound to an agent that
    is there already: `bindings` is null, and runs use the agent's as they stand.
    """

    id: str
    tenant_id: str
    agent_id: str
    version: int
    name: str
    role: str
    description: str
    system_prompt: str
    model: str
    llm_params: dict[str, Any]
    kind: Literal["llm"]
    tags: list[str]
    bindings: list[Binding] | None
    created_at: str


_KEPT = frozenset(AgentFields.model_fields) - {"status"}


def read(item: Item) -> Agent:
    return Agent.model_validate_json(item.doc)


def read_version(item: Item) -> AgentVersion:
    version = AgentVersion.model_validate_json(item.doc)
    return version if version.bindings is None else version.model_copy(update={"bindings": bindings.of_agent(item)})


def create(store: TenantStore, draft: AgentCreate, owner: str) -> Agent:
    """Create an agent, and bind its tools; 1 transaction (and 1 read if tools are named).

    Raises:
        Unprocessable: the name is reserved.
        NotFound: one of the tools does not exist.
        NameTaken: the name is taken in this tenant.
    """
    agent = new(store, _fields(draft), owner, draft.version)
    tool_ids = list(dict.fromkeys(draft.tool_ids))
    found = tools.get_many(store, tool_ids)
    if missing := [tool_id for tool_id in tool_ids if tool_id not in found]:
        raise NotFound(f"No such tool: {missing[0]}.")
    bound = [bindings.new(store, agent.id, tool_id, bindings.BindingCreate()) for tool_id in tool_ids]
    try:
        return put(store, agent, bound)
    except ConditionFailed as error:
        raise NotFound("One of the tools was deleted just now.") from error


def new(store: TenantStore, fields: dict[str, Any], owner: str, version: int = 1) -> Agent:
    """An agent that is not stored yet.

    Raises:
        Unprocessable: the name is reserved.
        Conflict: code cannot be published without an upload.
    """
    named.check_name(fields["name"])
    agent_kinds.check_new(fields["kind"], fields["status"])
    moment = clock.now()
    agent = Agent(
        id=store.new_id(),
        tenant_id=store.tenant_id,
        owner_user_id=owner,
        created_at=moment,
        updated_at=moment,
        version=version,
        **fields,
    )
    return published(agent, new_id()) if agent.status == "published" else agent


def put(store: TenantStore, agent: Agent, bound: list[Binding]) -> Agent:
    """Store a new agent with its bindings, and its first version if it is published; 1 transaction.

    Raises:
        NameTaken: the name is taken in this tenant.
        ConditionFailed: one of the tools is gone.
    """
    parts = {binding.tool_id: binding.model_dump_json() for binding in bound}
    more: list[Write] = [bindings.uses(binding) for binding in bound]
    more += [Exists(keys.tool(binding.tool_id)) for binding in bound]
    if agent.status == "published":
        more.append(_version_of(agent, None))
    return named.create(store, keys.AGENTS, agent, more, parts)


def get(store: TenantStore, ref: str) -> Agent:
    """An agent by id or name."""
    return read(find(store, ref))


def find(store: TenantStore, ref: str) -> Item:
    """An agent's item, with its bindings in its parts; 1 request by id, 2 by name."""
    return named.find(store, keys.AGENTS, ref, "agent")


def resolve_id(store: TenantStore, ref: str) -> str:
    """The id of an agent named by id or name; no request for an id, which is not looked up, 1 for a name.

    Raises:
        NotFound: no agent has this name.
    """
    found = ref if is_id(ref) else named.id_of(store, keys.AGENTS, unquote(ref))
    if found is None:
        raise NotFound("No such agent.")
    return found


def to_run(store: TenantStore, ref: str) -> tuple[Agent, list[Binding], dict[str, Tool]]:
    """The agent, its bindings and its tools as a run that begins now is to see them.

    A version is read together with the tools of the working copy, since they are mostly its own too: 2 requests by
    id, 1 more if the version has other tools, 1 less for a draft without tools.

    Raises:
        NotFound: no such agent.
        Conflict: the agent is archived.
    """
    item = find(store, ref)
    agent = read(item)
    refuse_archived(agent)
    if agent.kind == "code":
        return agent, [], {}
    if agent.version_to_run is None:
        return agent, bindings.of_agent(item), tools.get_many(store, list(item.parts))
    key = keys.agent_version(agent.id, agent.version_to_run)
    found = store.get_many([key, *(keys.tool(tool_id) for tool_id in item.parts)])
    version = read_version(found.pop(key))
    bound = bindings.of_agent(item) if version.bindings is None else version.bindings
    others = [binding.tool_id for binding in bound if binding.tool_id not in item.parts]
    known = {key.sort: tools.read(tool) for key, tool in found.items()} | tools.get_many(store, others)
    was = {name: getattr(version, name) for name in _KEPT}
    was |= {"version": version.version, "current_version_id": version.id, "status": "published"}
    return agent.model_copy(update=was), bound, known


def replace(store: TenantStore, ref: str, draft: AgentReplace, expected: int | None) -> Agent:
    """Set everything that a client may set.

    Raises:
        NotFound, NameTaken, VersionConflict: see `named.update`.
    """
    # Left out, the kind stays; named, it must be what it is.
    given = {name: value for name, value in _fields(draft).items() if name != "kind" or name in draft.model_fields_set}
    return _update(store, ref, given, expected)


def update(store: TenantStore, ref: str, patch: AgentPatch, expected: int | None) -> Agent:
    """Set the fields given. Raises as `replace`."""
    given = {name: value for name, value in _fields(patch).items() if name in patch.model_fields_set}
    return _update(store, ref, given, expected)


def alter(
    store: TenantStore,
    ref: str,
    change: Callable[[Agent], Agent | None],
    expected: int | None,
    *,
    once: bool = False,
    more: Sequence[Write] = (),
) -> Agent:
    """Change an agent; if that publishes it, what it then is stays as a version. 1 read by id and 1 transaction.

    Args:
        change: see `named.update`.
        once: fail if the agent was published under the id of this version before.
        more: what is to be written together with it.

    Raises:
        NotFound, NameTaken, VersionConflict, ConditionFailed: see `named.update`.
    """

    def keep(agent: Agent, item: Item) -> list[Write]:
        if agent.kind == "code" or agent.current_version != agent.version or agent.current_version_id is None:
            return [*more]
        guard = Put(keys.published(agent.id, agent.current_version_id), str(agent.version))
        return [_version_of(agent, item.parts), *([guard] if once else []), *more]

    return named.update(store, keys.AGENTS, ref, "agent", read=read, change=change, expected=expected, more=keep)


def published(agent: Agent, version_id: str) -> Agent:
    """The agent as it is when it is published as it stands."""
    said = {"status": "published", "current_version": agent.version, "current_version_id": version_id}
    return agent.model_copy(update=said)


def refuse_archived(agent: Agent) -> None:
    """Refuse what an archived agent does not do.

    Raises:
        Conflict: it is archived.
    """
    if agent.status == "archived":
        raise Conflict("The agent is archived; set its status first.", code="agent_archived")


def delete(store: TenantStore, ref: str) -> None:
    """Soft delete: gone from reads and lists with its versions, its tools released; 1 transaction."""
    item = find(store, ref)
    try:
        named.remove(store, keys.AGENTS, item, read(item), bindings.release(item))
    except ConditionFailed as error:
        raise Conflict("The agent was changed just now; try again.") from error


def _update(store: TenantStore, ref: str, fields: dict[str, Any], expected: int | None) -> Agent:
    if "name" in fields:
        named.check_name(fields["name"])
    version_id = new_id()

    def change(agent: Agent) -> Agent:
        kept = agent_kinds.kept(agent.kind, agent.status, agent.current_version, fields)
        changed = agent.model_copy(update=fields | kept)
        goes_out = changed.status == "published" != agent.status
        return published(changed, version_id) if goes_out else changed

    return alter(store, ref, change, expected)


def _version_of(agent: Agent, parts: Mapping[str, str] | None) -> Put:
    """The write that keeps what an agent is at the moment of its publication; without parts it has no bindings."""
    doc = agent.model_dump(include={*_KEPT, "tenant_id", "version"})
    doc |= {"id": agent.current_version_id, "agent_id": agent.id, "created_at": agent.updated_at}
    doc["bindings"] = None if parts is None else []
    return Put(keys.agent_version(agent.id, agent.version), json.dumps(doc, ensure_ascii=False), parts=parts)


def _fields(draft: AgentFields | AgentPatch) -> dict[str, Any]:
    """What a client may set, as the agent keeps it. What a patch leaves out is None."""
    fields = {name: getattr(draft, name) for name in AgentFields.model_fields}
    return fields | {
        "model": draft.model or settings().default_model,
        "llm_params": draft.llm_params and draft.llm_params.model_dump(exclude_none=True),
    }
