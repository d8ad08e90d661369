"""Which part of an HTTP request each argument of a tool becomes.

Without a word on it an argument fills the placeholder `{its name}` in the endpoint's path if there is one; else it
goes into the query (GET, DELETE) or is a field of the JSON body.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol
from urllib.parse import quote

from pydantic import ConfigDict, Field

from shared.domain.fields import Model
from shared.errors import ToolError

Place = Literal["path", "query", "header", "body"]

_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
# What the platform sets, what frames the message, and what would speak for somebody else.
_FORBIDDEN_HEADERS = frozenset({
    "accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type",
    "cookie", "expect", "forwarded", "host", "idempotency-key", "keep-alive", "te", "trailer", "transfer-encoding",
    "upgrade", "user-agent", "x-trace-id",
})  # fmt: skip
_FORBIDDEN_PREFIXES = ("proxy-", "sec-", "x-amz", "x-forwarded-")


class ArgumentPlace(Model):
    """Where an argument goes, and under which name there (its own if left out).

    In the query a list is one parameter for each item, or a single one with commas (`explode` false).
    """

    model_config = ConfigDict(serialize_by_alias=True)

    place: Place = Field(alias="in")
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    explode: bool = True


class HttpTool(Protocol):
    """A tool behind HTTP, as a client saved it or as a run sees it."""

    @property
    def endpoint(self) -> str | None: ...

    @property
    def http_method(self) -> str: ...

    @property
    def input_schema(self) -> dict[str, Any]: ...

    @property
    def argument_places(self) -> dict[str, ArgumentPlace]: ...


@dataclass(slots=True)
class Request:
    """What a call sends, apart from what the platform adds. `json_body` None is no body."""

    url: str
    params: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    json_body: dict[str, Any] | None = None


def is_forbidden(header: str) -> bool:
    """Whether a header is the platform's to set, and no argument's."""
    name = header.lower()
    return name in _FORBIDDEN_HEADERS or name.startswith(_FORBIDDEN_PREFIXES)


def problems(tool: HttpTool, secret_header: str | None) -> list[str]:
    """What is wrong with the places of a tool's arguments, each in a sentence.

    Args:
        secret_header: the header that carries the tool's secret.
    """
    declared, required = tool.input_schema.get("properties", {}), set(tool.input_schema.get("required", ()))
    wanted = set(_placeholders(tool))
    taken: set[tuple[str, str]] = set()
    found = [f"{argument[:50]!r} is no property of input_schema" for argument in tool.argument_places.keys() - declared]
    for argument in declared:
        place, name = _place(tool, argument)
        key = (place, name.lower() if place == "header" else name)
        if key in taken:
            found.append(f"two arguments go to the {place} as {name[:50]!r}")
        taken.add(key)
        if place == "path" and name not in wanted:
            found.append(f"the path of the endpoint has no placeholder for {argument[:50]!r}")
        if place == "path" and argument not in required:
            found.append(f"{argument[:50]!r} is part of the path, so input_schema must require it")
        if place == "body" and tool.http_method == "GET":
            found.append(f"{argument[:50]!r} cannot go into the body of a GET")
        if place == "header" and not _may_be_argument(name, secret_header):
            found.append(f"the header {name[:50]!r} cannot be an argument")
    filled = {name for place, name in taken if place == "path"}
    return found + [f"no argument fills the placeholder {name[:50]!r}" for name in sorted(wanted - filled)]


def _may_be_argument(header: str, secret_header: str | None) -> bool:
    taken = secret_header is not None and header.lower() == secret_header.lower()
    return bool(_HEADER.fullmatch(header)) and not is_forbidden(header) and not taken


def build(tool: HttpTool, given: Mapping[str, Any]) -> Request:
    """The request for a call with these arguments.

    Raises:
        ToolError: `invalid_arguments`: an argument cannot stand where it goes.
    """
    request = Request(tool.endpoint or "")
    path: dict[str, str] = {}
    body: dict[str, Any] = {}
    for argument, value in given.items():
        place, name = _place(tool, argument)
        if place == "body":
            body[name] = value
        elif place == "path":
            path[name] = _segment(argument, value)
        elif value is not None and place == "header":
            request.headers[name] = _joined(value)
        elif value is not None:
            request.params += _parameters(name, value, tool.argument_places.get(argument))
    request.url = _filled(tool, path)
    if body or _takes_body(tool):
        request.json_body = body
    return request


def _takes_body(tool: HttpTool) -> bool:
    """Whether a body is sent even if no argument is in it."""
    declared = tool.input_schema.get("properties", {})
    if tool.http_method in {"GET", "DELETE"}:
        return False
    return not declared or any(_place(tool, argument)[0] == "body" for argument in declared)


def _placeholders(tool: HttpTool) -> list[str]:
    return _PLACEHOLDER.findall((tool.endpoint or "").partition("?")[0])


def _place(tool: HttpTool, argument: str) -> tuple[Place, str]:
    """Where an argument goes, and under which name."""
    said = tool.argument_places.get(argument)
    if said is not None:
        return said.place, said.name or argument
    # Only a declared one: no other was checked against the schema.
    if argument in tool.input_schema.get("properties", {}) and argument in _placeholders(tool):
        return "path", argument
    return ("query" if tool.http_method in {"GET", "DELETE"} else "body"), argument


def _filled(tool: HttpTool, values: Mapping[str, str]) -> str:
    """The endpoint with its placeholders filled.

    Raises:
        ToolError: `invalid_arguments`: a value is missing, or several make a segment of dots.
    """
    endpoint = tool.endpoint or ""
    missing = [name for name in _placeholders(tool) if name not in values]
    if missing:
        raise ToolError("invalid_arguments", f"The path needs a value for {missing[0][:50]!r}.")
    if not values:
        return endpoint
    template, mark, query = endpoint.partition("?")
    path = _PLACEHOLDER.sub(lambda found: values[found[1]], template)
    if {".", ".."} & set(path.split("/")):
        raise ToolError("invalid_arguments", "An argument would turn the path elsewhere.")
    return path + mark + query


def _segment(argument: str, value: Any) -> str:
    """A value as part of one segment of a path.

    Raises:
        ToolError: `invalid_arguments`: it is empty, or would be more than a part of a segment.
    """
    text = "" if value is None or isinstance(value, dict) else _joined(value)
    if not text or text in {".", ".."} or any(mark in text for mark in "/\\") or not text.isprintable():
        raise ToolError("invalid_arguments", f"{argument[:50]}: cannot be part of a path.")
    return quote(text, safe=",")


def _parameters(name: str, value: Any, said: ArgumentPlace | None) -> list[tuple[str, str]]:
    if said is not None and isinstance(value, list):
        return [(name, as_text(item)) for item in value] if said.explode else [(name, _joined(value))]
    return [(name, as_text(value))]


def _joined(value: Any) -> str:
    return ",".join(as_text(item) for item in value) if isinstance(value, list) else as_text(value)


def as_text(value: Any) -> str:
    """A text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
