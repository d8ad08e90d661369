"""Tools made of the operations of an OpenAPI document: all of them or none."""

import json
import re
from typing import Annotated, Any

from pydantic import Field, ValidationError

from shared.domain import named, openapi_schemas, tools
from shared.domain.fields import Label, Model, Record, Tags
from shared.domain.openapi_documents import Document, Operation, Unsupported
from shared.domain.tools import AuthConfig, AuthType, Endpoint, Tool, ToolCreate
from shared.errors import ConditionFailed, NameTaken, Unprocessable
from shared.store import keys
from shared.store.ids import is_id
from shared.store.table import TenantStore

MAX_OPERATIONS = 50
"""A transaction holds 100 writes, and a tool takes two."""

OperationNames = Annotated[list[Annotated[str, Field(min_length=1, max_length=500)]], Field(max_length=200)]


class ToolImport(Model):
    """An OpenAPI document (3.0 or 3.1, as JSON), and which of its operations become tools.

    Operations are named by `operationId`, or by method and path (`GET /pets/{id}`). `base_url` replaces the document's
    servers; `prefix` goes before every name; `tags` and `category` are given to every tool.
    """

    document: dict[str, Any]
    include_operations: OperationNames | None = None
    exclude_operations: OperationNames = []
    include_tags: Annotated[list[str], Field(max_length=50)] | None = None
    base_url: Endpoint | None = None
    auth_type: AuthType = "none"
    auth_config: AuthConfig = AuthConfig.model_construct()
    category: Label | None = None
    tags: Tags = []
    prefix: Annotated[str, Field(max_length=50)] = ""


class SkippedOperation(Record):
    """An operation that did not become a tool, and why."""

    operation: str
    reason: str


class ImportedTools(Record):
    """What was made, and what was not."""

    tools: list[Tool]
    skipped: list[SkippedOperation]


def carry_out(store: TenantStore, draft: ToolImport) -> ImportedTools:
    """Make a tool of each operation that is asked for; 1 transaction.

    Raises:
        Unprocessable: the document cannot be read, an operation is unknown, none or more than 50 are left.
        NameTaken: a tool of this tenant has one of the names.
    """
    document = Document(draft.document)
    made: list[Tool] = []
    skipped: list[SkippedOperation] = []
    for operation in _chosen(document, draft):
        try:
            fields = _fields(document, operation, draft, {tool.name for tool in made})
            made.append(_tool(store, fields))
        except Unsupported as reason:
            skipped.append(SkippedOperation(operation=operation.label[:300], reason=str(reason)))
    if not made:
        problems = [
            {"loc": ["body", "document", each.operation], "msg": each.reason, "type": "unsupported"} for each in skipped
        ]
        raise Unprocessable("No operation of the document can become a tool.", errors=problems)
    return ImportedTools(tools=_stored(store, made), skipped=skipped)


def _tool(store: TenantStore, fields: dict[str, Any]) -> Tool:
    """A tool of these fields; what `POST /tools` would refuse is no reason to refuse the whole document."""
    try:
        return tools.new(store, ToolCreate.model_validate(fields), own_schema=True)
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
    except Unprocessable as error:
        problem = (error.errors or [{"loc": (), "msg": error.detail}])[0]
    where = ".".join(str(part) for part in problem["loc"] if part != "body")
    raise Unsupported(f"{where[:100]}: {problem['msg'][:200]}")


def _stored(store: TenantStore, made: list[Tool]) -> list[Tool]:
    """The tools, written. Those that the first try of an idempotent request wrote are read."""
    try:
        store.write(*(write for tool in made for write in named.creation(keys.TOOLS, tool)))
    except ConditionFailed as error:
        if 0 in error.failed:
            # The first id was reserved for this request: its first try got as far as this, and made all of them.
            names = [keys.name(keys.TOOLS, tool.name) for tool in made]
            guards = store.get_many(names)
            found = tools.get_many(store, [json.loads(guards[key].doc) for key in names if key in guards])
            return list(found.values())
        taken = made[error.failed[0] // 2].name
        raise NameTaken(f"The name {taken!r} is taken; a prefix would make the names of this import unique.") from error
    return made


def _chosen(document: Document, draft: ToolImport) -> list[Operation]:
    """The operations that are asked for.

    Raises:
        Unprocessable: one that is named does not exist, or there are too many.
    """
    every = list(document.operations())
    known = {name for operation in every for name in _names(operation)}
    for field, asked in (
        ("include_operations", draft.include_operations or []),
        ("exclude_operations", draft.exclude_operations),
    ):
        if unknown := [name for name in asked if name not in known]:
            raise _refusal(field, f"the document has no operation {unknown[0][:100]!r}")
    excluded = set(draft.exclude_operations)
    chosen = [operation for operation in every if not excluded.intersection(_names(operation))]
    if draft.include_operations is not None:
        included = set(draft.include_operations)
        chosen = [operation for operation in chosen if included.intersection(_names(operation))]
    if draft.include_tags is not None:
        chosen = [operation for operation in chosen if set(draft.include_tags).intersection(operation.tags)]
    if not chosen:
        raise _refusal("document", "no operation is left to import")
    if len(chosen) > MAX_OPERATIONS:
        raise _refusal("include_operations", f"choose at most {MAX_OPERATIONS} of the {len(chosen)} operations")
    return chosen


def _names(operation: Operation) -> list[str]:
    return [operation.label, *([operation.operation_id] if operation.operation_id else [])]


def _fields(document: Document, operation: Operation, draft: ToolImport, taken: set[str]) -> dict[str, Any]:
    """The fields of the tool that an operation becomes.

    Raises:
        Unsupported, Unprocessable: see `openapi_schemas.arguments` and `Document.server`.
    """
    schema, places = openapi_schemas.arguments(document, operation)
    base = (draft.base_url or document.server(operation)).rstrip("/")
    if any(mark in base + operation.path for mark in "?#") or "{" in base:
        raise Unsupported("its address holds a query, a fragment or an open variable")
    labels = [tag for tag in operation.tags if 0 < len(tag.strip()) <= 50 and tag.isprintable()]
    return {
        "name": _name(operation, draft.prefix, taken),
        "description": operation.description,
        "input_schema": schema,
        "endpoint": base + operation.path,
        "http_method": operation.method,
        "argument_places": places,
        "auth_type": draft.auth_type,
        "auth_config": draft.auth_config,
        # Only of a GET does HTTP promise that nobody minds it twice, whatever the service is like.
        "idempotent": operation.method == "GET",
        "category": draft.category,
        "tags": list(dict.fromkeys([*draft.tags, *labels]))[:20],
    }


def _name(operation: Operation, prefix: str, taken: set[str]) -> str:
    """A name for the tool: the operation's id, or its method and path where that is none or cannot be one."""
    given = (operation.operation_id or "").strip()
    usable = 0 < len(given) <= 140 and given.isprintable()
    words = re.sub(r"[^A-Za-z0-9]+", "_", operation.path).strip("_")[:130]
    base = prefix + (given if usable else f"{operation.method.lower()}_{words}")
    if base in tools.RESERVED_NAMES or is_id(base):
        base = f"{base}_{operation.method.lower()}"
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def _refusal(field: str, message: str) -> Unprocessable:
    return Unprocessable(
        f"{field}: {message}.", errors=[{"loc": ["body", field], "msg": message, "type": "value_error"}]
    )
