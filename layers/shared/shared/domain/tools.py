"""Tools: what an agent may call. A webhook over HTTP, or one of the platform's own."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from shared import clock
from shared.clients.address import parse_url
from shared.domain import named
from shared.domain.fields import JsonSchema, Label, Model, Name, ShortText, Tags, left_out
from shared.errors import ConditionFailed, Conflict, Unprocessable
from shared.store import keys
from shared.store.ids import is_id
from shared.store.table import Item, Page, TenantStore

RESERVED_NAMES = frozenset({"categories", "types", "import"})


def _endpoint(value: str) -> str:
    parse_url(value)
    return value


Endpoint = Annotated[str, Field(max_length=2_000), AfterValidator(_endpoint)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
HttpMethod = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_FORBIDDEN_HEADERS = {
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "accept-encoding",
}


class AuthConfig(Model):
    """How an `api_key` is sent: as `Authorization: Bearer`, or bare in the header named here."""

    header: HeaderName | None = None


class ToolFields(Model):
    """What a client may set."""

    name: Name
    description: ShortText = ""
    input_schema: JsonSchema = {}
    execution_type: Literal["http_webhook", "internal"] | None = None
    endpoint: Endpoint | None = None
    http_method: HttpMethod = "POST"
    auth_type: Literal["none", "api_key"] = "none"
    auth_config: AuthConfig = AuthConfig()
    idempotent: bool = False
    category: Label | None = None
    tags: Tags = []
    status: Literal["active", "deprecated"] = "active"


class ToolCreate(ToolFields):
    """A new tool. Without `endpoint` it is one of the platform's own, named by `name`."""

    version: Annotated[int, Field(ge=1, le=1_000_000)] = 1


class ToolReplace(ToolFields):
    """All that a client may set; what is left out goes back to its default. `version` is read from `If-Match` only."""

    version: int | None = None


class ToolPatch(Model):
    """The fields to change; the others stay."""

    name: Name = left_out()
    description: ShortText = left_out()
    input_schema: JsonSchema = left_out()
    execution_type: Literal["http_webhook", "internal"] = left_out()
    endpoint: Endpoint | None = None
    http_method: HttpMethod = left_out()
    auth_type: Literal["none", "api_key"] = left_out()
    auth_config: AuthConfig = left_out()
    idempotent: bool = left_out()
    category: Label | None = None
    tags: Tags = left_out()
    status: Literal["active", "deprecated"] = left_out()


class Tool(named.Named):
    """A tool of a tenant."""

    tenant_id: str
    description: str
    input_schema: dict[str, Any]
    execution_type: Literal["http_webhook", "internal"]
    endpoint: str | None
    http_method: HttpMethod
    auth_type: Literal["none", "api_key"]
    auth_config: AuthConfig
    idempotent: bool
    category: str | None
    tags: list[str]
    status: Literal["active", "deprecated"]
    created_at: str


def read(item: Item) -> Tool:
    return Tool.model_validate_json(item.doc)


def create(store: TenantStore, draft: ToolCreate) -> Tool:
    """Create a tool; 1 transaction.

    Raises:
        Unprocessable: the schema, the name or the combination of fields is not acceptable.
        NameTaken: the name is taken in this tenant.
    """
    moment = clock.now()
    fields = _checked(draft)
    tool = Tool(id=store.new_id(), tenant_id=store.tenant_id, created_at=moment, updated_at=moment, **fields)
    return named.create(store, keys.TOOLS, tool)


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


def page(store: TenantStore, limit: int, after: str | None) -> Page:
    """A page of tools, newest first; 1 request."""
    return named.newest(store, keys.TOOLS, limit, after)


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


def _checked(draft: ToolFields) -> dict[str, Any]:
    """The fields of a tool, with what depends on several of them."""
    named.check_name(draft.name, RESERVED_NAMES)
    execution_type = draft.execution_type or ("http_webhook" if draft.endpoint else "internal")
    if (execution_type == "http_webhook") != (draft.endpoint is not None):
        raise _invalid("endpoint", "http_webhook tools need an endpoint, internal tools have none")
    if (draft.auth_config.header or "").lower() in _FORBIDDEN_HEADERS:
        raise _invalid("auth_config", "this header is set by the platform")
    if draft.input_schema:
        check_schema(draft.input_schema)
    return {name: getattr(draft, name) for name in type(draft).model_fields} | {"execution_type": execution_type}


def check_schema(schema: dict[str, Any]) -> None:
    """Refuse what is no JSON Schema (2020-12) for the arguments of a function.

    Raises:
        Unprocessable: says where and why.
    """
    # Loaded only when a schema is there to check: it would double the cold start of every read.
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        raise _invalid("input_schema", f"not a JSON Schema: {where or 'root'}: {error.message[:200]}") from error
    except (RecursionError, OverflowError) as error:
        raise _invalid("input_schema", "a pattern is too deep, or counts too far") from error
    if schema.get("type", "object") != "object":
        raise _invalid("input_schema", "the root must have type object")
    for name in schema.get("properties", {}):
        if not name.isidentifier():
            raise _invalid("input_schema", f"property {name[:50]!r} is not a Python identifier")
    for reference in _references(schema):
        # Resolving a remote schema would be a request to wherever a tenant likes.
        if not reference.startswith("#"):
            raise _invalid("input_schema", "$ref must stay inside the schema (#...)")


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in _references(child)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key in {"$ref", "$dynamicRef"} and isinstance(value, str)]
    return own + [found for child in node.values() for found in _references(child)]


def _invalid(field: str, message: str) -> Unprocessable:
    return Unprocessable(
        "The tool is not valid.", errors=[{"loc": ["body", field], "msg": message, "type": "value_error"}]
    )
