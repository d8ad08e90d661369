"""Tools: what an agent may call. A webhook over HTTP, or one of the platform's own."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from shared import clock
from shared.clients.address import parse_url
from shared.domain import named, schemas, tool_requests
from shared.domain.fields import Flag, JsonSchema, Label, Model, Name, ShortText, Tags, Whole, left_out
from shared.domain.tool_requests import ArgumentPlace, is_forbidden
from shared.errors import ConditionFailed, Conflict, NotFound, Unprocessable
from shared.store import keys
from shared.store.ids import is_id
from shared.store.listing import chosen, filtered, standing_in
from shared.store.table import Item, Page, TenantStore
from shared.store.writes import Lists

RESERVED_NAMES = frozenset({"categories", "types", "import"})


def _endpoint(value: str) -> str:
    parse_url(value)
    return value


Endpoint = Annotated[str, Field(max_length=2_000), AfterValidator(_endpoint)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
HttpMethod = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
ExecutionType = Literal["http_webhook", "internal"]
AuthType = Literal["none", "api_key", "oauth2", "service"]
ToolStatus = Literal["active", "deprecated"]
Places = Annotated[dict[str, ArgumentPlace], Field(max_length=100)]


class AuthConfig(Model):
    """How the platform proves to the tool who is calling.

    `api_key` sends the secret as `Authorization: Bearer`, or bare in the `header` named here. `oauth2` is the client
    credentials grant at `token_url`; its secret is the client secret. `service` and `none` have nothing to set.
    """

    header: HeaderName | None = None
    token_url: Endpoint | None = None
    client_id: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    scope: Annotated[str, Field(max_length=1_000)] | None = None
    audience: Annotated[str, Field(max_length=1_000)] | None = None


class ToolFields(Model):
    """What a client may set."""

    name: Name
    description: ShortText = ""
    input_schema: JsonSchema = {}
    execution_type: ExecutionType | None = None
    endpoint: Endpoint | None = None
    http_method: HttpMethod = "POST"
    argument_places: Places = {}
    auth_type: AuthType = "none"
    auth_config: AuthConfig = AuthConfig.model_construct()
    idempotent: Flag = False
    category: Label | None = None
    tags: Tags = []
    status: ToolStatus = "active"


class ToolCreate(ToolFields):
    """A new tool. Without `endpoint` it is one of the platform's own, named by `name`."""

    version: Annotated[Whole, Field(ge=1, le=1_000_000)] = 1


class ToolReplace(ToolFields):
    """All that a client may set; what is left out goes back to its default. `version` is read from `If-Match` only."""

    version: Whole | None = None


class ToolPatch(Model):
    """The fields to change; the others stay."""

    name: Name = left_out()
    description: ShortText = left_out()
    input_schema: JsonSchema = left_out()
    execution_type: ExecutionType = left_out()
    endpoint: Endpoint | None = None
    http_method: HttpMethod = left_out()
    argument_places: Places = left_out()
    auth_type: AuthType = left_out()
    auth_config: AuthConfig = left_out()
    idempotent: Flag = left_out()
    category: Label | None = None
    tags: Tags = left_out()
    status: ToolStatus = left_out()


class Tool(named.Named):
    """A tool of a tenant."""

    tenant_id: str
    description: str
    input_schema: dict[str, Any]
    execution_type: ExecutionType
    endpoint: str | None
    http_method: HttpMethod
    argument_places: dict[str, ArgumentPlace] = {}
    auth_type: AuthType
    auth_config: AuthConfig
    idempotent: bool
    category: str | None
    tags: list[str]
    status: ToolStatus
    created_at: str

    @property
    def lists(self) -> Lists:
        return {
            keys.GROUP: keys.group(keys.TOOLS, self.execution_type, self.status),
            keys.LABEL: keys.label(keys.TOOLS, self.category) if self.category else None,
        }


class ToolFilter(Model):
    """Which tools a list holds; what is left out does not matter."""

    agent_name: str | None = None
    status: ToolStatus | None = None
    category: str | None = None
    execution_type: ExecutionType | None = None


def read(item: Item) -> Tool:
    return Tool.model_validate_json(item.doc)


def create(store: TenantStore, draft: ToolCreate) -> Tool:
    """Create a tool; 1 transaction.

    Raises:
        Unprocessable: the schema, the name or the combination of fields is not acceptable.
        NameTaken: the name is taken in this tenant.
    """
    return named.create(store, keys.TOOLS, new(store, draft))


def new(store: TenantStore, draft: ToolCreate, *, own_schema: bool = False) -> Tool:
    """A tool that is not stored yet. Raises as `create`.

    Args:
        own_schema: the schema was put together by the platform, and needs no look.
    """
    moment = clock.now()
    fields = _checked(draft, own_schema=own_schema)
    return Tool(id=store.new_id(), tenant_id=store.tenant_id, created_at=moment, updated_at=moment, **fields)


def get(store: TenantStore, ref: str) -> Tool:
    """A tool by id or name."""
    return read(named.find(store, keys.TOOLS, ref, "tool"))


def resolve_id(store: TenantStore, ref: str) -> str:
    """The id of a tool named by id or name. An id is not looked up: the tool itself may be gone."""
    return ref if is_id(ref) else named.find(store, keys.TOOLS, ref, "tool").sort


def get_many(store: TenantStore, tool_ids: list[str]) -> dict[str, Tool]:
    """Those of the tools that exist, by id; 1 request."""
    found = store.get_many([keys.tool(tool_id) for tool_id in tool_ids]) if tool_ids else {}
    return {key.sort: read(item) for key, item in found.items()}


def page(store: TenantStore, wanted: ToolFilter, limit: int, after: str | None) -> Page:
    """A page of the tools that are wanted, newest first; 1 request without filters.

    With `agent_name` it takes 3 requests (2 by id): the agent has at most 40 tools. By category 2, by status or
    execution type 3, by both 2. A category with another filter looks at 1,000 tools at most, so a page may be short
    and still have a next one.
    """

    def keep(item: Item) -> bool:
        tool = read(item)
        return all(
            asked is None or asked == has
            for asked, has in (
                (wanted.status, tool.status),
                (wanted.category, tool.category),
                (wanted.execution_type, tool.execution_type),
            )
        )

    if wanted == ToolFilter():
        return named.newest(store, keys.TOOLS, limit, after)
    if wanted.agent_name is not None:
        return filtered(partial(_of_agent, store, wanted.agent_name), keep, limit, after)
    if wanted.category is not None:
        labelled = partial(standing_in, store, keys.LABEL, [keys.label(keys.TOOLS, wanted.category)], keys.TOOLS)
        return filtered(labelled, keep, limit, after, first=limit)
    groups = [
        keys.group(keys.TOOLS, execution_type, status)
        for execution_type in chosen(wanted.execution_type, ExecutionType)
        for status in chosen(wanted.status, ToolStatus)
    ]
    found = standing_in(store, keys.GROUP, groups, keys.TOOLS, limit, after)
    return Page([item for item in found.items if keep(item)], found.next_after)


def _of_agent(store: TenantStore, agent_ref: str, limit: int, after: str | None) -> Page:
    """The tools bound to an agent, newest first. An agent that does not exist has none."""
    try:
        agent = named.find(store, keys.AGENTS, agent_ref, "agent")
    except NotFound:
        return Page([], None)
    ids = sorted((tool_id for tool_id in agent.parts if after is None or tool_id < after), reverse=True)
    found = store.get_many([keys.tool(tool_id) for tool_id in ids]) if ids else {}
    items = [found[key] for key in map(keys.tool, ids) if key in found]
    return Page(items[:limit], items[limit - 1].sort if len(items) > limit else None)


def deploy(store: TenantStore, ref: str) -> Tool:
    """Set a tool to `active`; one that is active stays as it is. Raises as `named.update`."""
    tool = get(store, ref)
    return tool if tool.status == "active" else update(store, tool.id, ToolPatch(status="active"), None)


def replace(store: TenantStore, ref: str, draft: ToolReplace, expected: int | None) -> Tool:
    """Set everything that a client may set. Raises as `create` and `named.update`."""
    fields = _checked(draft)
    del fields["version"]

    def change(tool: Tool) -> Tool:
        return tool.model_copy(update=fields)

    return named.update(store, keys.TOOLS, ref, "tool", read=read, change=change, expected=expected)


def update(store: TenantStore, ref: str, patch: ToolPatch, expected: int | None) -> Tool:
    """Set the fields given. Raises as `create` and `named.update`."""

    def merge(tool: Tool) -> Tool:
        given = patch.model_dump(exclude_unset=True)
        if "endpoint" in given:
            given.setdefault("execution_type", None)
        settable = {name: getattr(tool, name) for name in ToolFields.model_fields}
        merged = _checked(ToolFields.model_validate(settable | given))
        return tool.model_copy(update=merged)

    return named.update(store, keys.TOOLS, ref, "tool", read=read, change=merge, expected=expected)


def delete(store: TenantStore, ref: str, *, force: bool) -> None:
    """Soft delete. A tool that agents use stays, unless forced: then they find it gone.

    Raises:
        Conflict: an agent uses the tool.
    """
    item = named.find(store, keys.TOOLS, ref, "tool")
    if not force and store.query(keys.users_of_tool(item.sort), limit=1).items:
        raise Conflict("The tool is bound to an agent; unbind it, or delete with force=true.", code="tool_in_use")
    try:
        named.remove(store, keys.TOOLS, item, read(item))
    except ConditionFailed as error:
        raise Conflict("The tool was changed just now; try again.") from error


def _checked(draft: ToolFields, *, own_schema: bool = False) -> dict[str, Any]:
    """The fields of a tool, with what depends on several of them."""
    named.check_name(draft.name, RESERVED_NAMES)
    execution_type = draft.execution_type or ("http_webhook" if draft.endpoint else "internal")
    if (execution_type == "http_webhook") != (draft.endpoint is not None):
        raise _invalid("endpoint", "http_webhook tools need an endpoint, internal tools have none")
    header = draft.auth_config.header
    if header and is_forbidden(header) and header.lower() not in {"authorization", "cookie"}:
        raise _invalid("auth_config", "this header is set by the platform")
    if draft.auth_type == "oauth2" and not (draft.auth_config.token_url and draft.auth_config.client_id):
        raise _invalid("auth_config", "oauth2 needs token_url and client_id")
    if draft.input_schema and not own_schema:
        schemas.check(draft.input_schema)
    if wrong := tool_requests.problems(draft, header):
        raise _invalid("argument_places", "; ".join(wrong[:5]))
    return {name: getattr(draft, name) for name in type(draft).model_fields} | {"execution_type": execution_type}


def _invalid(field: str, message: str) -> Unprocessable:
    return Unprocessable(
        "The tool is not valid.", errors=[{"loc": ["body", field], "msg": message, "type": "value_error"}]
    )
