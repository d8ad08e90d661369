"""Schemas of OpenAPI documents as JSON Schema 2020-12, and requests as arguments of a tool."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

from shared import json_text
from shared.domain.openapi_documents import Document, Operation, Unsupported
from shared.domain.tool_requests import is_forbidden

_MAX_BYTES = 16_384
_MAX_NODES = 5_000
_MAX_DEFS = 100
_MAX_MERGED = 8

_TYPES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _is_type(value: Any) -> bool:
    return value in _TYPES if isinstance(value, str) else bool(value) and _is_names(value) and set(value) <= _TYPES


def _is_limit(value: Any) -> bool:
    return _is_number(value) or isinstance(value, bool)


# Keywords that hold no schema, and what JSON Schema (2020-12, "Validation") lets them be. What is not that is left
# out, so that what comes out here is a schema without a second look: the library's takes 1.4 ms for each node.
_PLAIN: dict[str, Callable[[Any], bool]] = {
    "const": lambda value: True,
    "default": lambda value: True,
    "dependentRequired": lambda value: isinstance(value, dict) and all(map(_is_names, value.values())),
    "description": _is_text,
    "enum": lambda value: isinstance(value, list),
    "exclusiveMaximum": _is_limit,
    "exclusiveMinimum": _is_limit,
    "format": _is_text,
    "maximum": _is_number,
    "maxContains": _is_count,
    "maxItems": _is_count,
    "maxLength": _is_count,
    "maxProperties": _is_count,
    "minContains": _is_count,
    "minimum": _is_number,
    "minItems": _is_count,
    "minLength": _is_count,
    "minProperties": _is_count,
    "multipleOf": lambda value: _is_number(value) and value > 0,
    "required": _is_names,
    "title": _is_text,
    "type": _is_type,
    "uniqueItems": lambda value: isinstance(value, bool),
}
_WORDS = frozenset({"description", "title", "default"})
_SCHEMA = frozenset({
    "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then", "unevaluatedItems",
    "unevaluatedProperties",
})  # fmt: skip
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"dependentSchemas", "properties"})
_STYLES = {"path": "simple", "query": "form", "header": "simple"}
_IGNORED_HEADERS = frozenset({"accept", "authorization", "content-type"})


def arguments(document: Document, operation: Operation) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What an operation takes, as the `input_schema` and `argument_places` of a tool.

    Raises:
        Unsupported: it takes something that a tool cannot send.
        Unprocessable: a reference leads nowhere.
    """
    for terse in (False, True):
        built = _Arguments(document, terse=terse)
        built.add_parameters(operation)
        built.add_body(operation)
        schema = built.schema()
        if json_text.size(schema) <= _MAX_BYTES:
            return schema, built.places
    raise Unsupported(f"its schema is larger than {_MAX_BYTES} bytes")


class _Arguments:
    """Gathers arguments. `terse` leaves out what only explains."""

    def __init__(self, document: Document, *, terse: bool) -> None:
        self.places: dict[str, dict[str, Any]] = {}
        self._document = document
        self._terse = terse
        self._properties: dict[str, Any] = {}
        self._required: list[str] = []
        self._names: dict[str, str] = {}
        self._pending: list[tuple[str, str]] = []
        self._nodes = 0

    def add_parameters(self, operation: Operation) -> None:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for holder in (operation.item, operation.body):
            raw = _list(holder.get("parameters"))
            self._count(len(raw))
            for parameter in map(self._document.resolve, raw):
                if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
                    raise Unsupported("a parameter has no name")
                found[str(parameter.get("in")), parameter["name"]] = parameter
        for (place, name), parameter in found.items():
            if place == "header" and name.lower() in _IGNORED_HEADERS:
                continue  # OpenAPI 3.1, "Parameter Object": such a definition "SHALL be ignored"
            if problem := _unsupported(place, name, parameter):
                if parameter.get("required") is True:
                    raise Unsupported(f"its parameter {name[:50]!r} {problem}")
                continue
            schema = self._convert(parameter.get("schema", {}))
            if not self._terse and isinstance(said := parameter.get("description"), str) and isinstance(schema, dict):
                schema = {"description": said} | schema
            self._add(name, place, schema, required=place == "path" or parameter.get("required") is True)
            if place == "query" and parameter.get("explode") is False:
                self.places[next(reversed(self.places))]["explode"] = False

    def add_body(self, operation: Operation) -> None:
        body = self._document.resolve(operation.body.get("requestBody"))
        if body is None:
            return
        if operation.method == "GET":
            raise Unsupported("a GET with a body cannot be sent")
        content = body.get("content") if isinstance(body, dict) else None
        media = next((value for name, value in _items(content) if _is_json(name)), None)
        if media is None:
            raise Unsupported("its body is not JSON")
        fields, required = self._fields(media.get("schema", {}) if isinstance(media, dict) else {}, 0)
        if not fields:
            raise Unsupported("its body is no object with fields")
        for name, schema in fields.items():
            resolved = self._document.resolve(schema)
            if not (isinstance(resolved, dict) and resolved.get("readOnly") is True):
                self._add(name, "body", self._convert(schema), required=name in required)

    def schema(self) -> dict[str, Any]:
        """The schema of all arguments, with the schemas that they name."""
        defs: dict[str, Any] = {}
        while self._pending:
            pointer, name = self._pending.pop()
            defs[name] = self._convert(self._document.resolve({"$ref": pointer}))
        found: dict[str, Any] = {"type": "object", "properties": self._properties, "additionalProperties": False}
        return found | ({"required": self._required} if self._required else {}) | ({"$defs": defs} if defs else {})

    def _add(self, name: str, place: str, schema: Any, *, required: bool) -> None:
        if not name:
            raise Unsupported("a field or parameter has no name")
        identifier = _identifier(name)
        argument, number = identifier, 1
        while argument in self._properties:
            argument = f"{place}_{identifier}" if number == 1 else f"{place}_{identifier}_{number}"
            number += 1
        self._properties[argument] = schema
        self.places[argument] = {"in": place} | ({"name": name} if name != argument else {})
        if required:
            self._required.append(argument)

    def _fields(self, node: Any, depth: int) -> tuple[dict[str, Any], set[str]]:
        """The fields of an object's schema, and which of them are required; `allOf` is merged."""
        schema = self._document.resolve(node)
        if depth > _MAX_MERGED or not isinstance(schema, dict):
            raise Unsupported("its body is nested too deeply in allOf, or has no schema")
        self._count()
        if schema.keys() & {"oneOf", "anyOf"}:
            raise Unsupported("its body is one of several schemas")
        kind = schema.get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise Unsupported("its body is no object with fields")
        fields = dict(_items(schema.get("properties")))
        self._count(len(fields))
        required = {name for name in _list(schema.get("required")) if isinstance(name, str)}
        for part in _list(schema.get("allOf")):
            more, needed = self._fields(part, depth + 1)
            fields |= {name: schema for name, schema in more.items() if name not in fields}
            required |= needed
        return fields, required

    def _convert(self, node: Any) -> Any:
        self._count()
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise Unsupported("a schema in it is no object")
        if "$ref" in node:
            return {"$ref": f"#/$defs/{self._named(node['$ref'])}"}
        found: dict[str, Any] = {}
        for key, value in node.items():
            if key in _PLAIN:
                if _PLAIN[key](value) and not (self._terse and key in _WORDS):
                    found[key] = value
            elif key in _SCHEMA:
                found[key] = self._convert(value)
            elif key in _LISTS:
                if _list(value):
                    found[key] = [self._convert(child) for child in value]
            elif key in _MAPS:
                found[key] = {name: self._convert(child) for name, child in _items(value)}
            elif key == "pattern" and _compiles(value):
                found[key] = value
        return _modern(found, nullable=node.get("nullable") is True)

    def _named(self, reference: Any) -> str:
        """The name among `$defs` of what a reference leads to."""
        pointer = self._document.pointer(reference)
        if pointer not in self._names:
            if len(self._names) == _MAX_DEFS:
                raise Unsupported(f"it names more than {_MAX_DEFS} schemas")
            base = re.sub(r"[^A-Za-z0-9_]", "_", pointer.rpartition("/")[2])[:50] or "schema"
            name, number = base, 2
            while name in self._names.values():
                name, number = f"{base}_{number}", number + 1
            self._names[pointer] = name
            self._pending.append((pointer, name))
        return self._names[pointer]

    def _count(self, more: int = 1) -> None:
        self._nodes += more
        if self._nodes > _MAX_NODES:
            raise Unsupported("its schemas are too large")


def _unsupported(place: str, name: str, parameter: Mapping[str, Any]) -> str | None:
    """Why a parameter cannot be sent; None if it can."""
    if place not in _STYLES:
        return f"goes to the {place[:20]}"
    if "content" in parameter:
        return "is serialized by a media type"
    if parameter.get("style", _STYLES[place]) != _STYLES[place]:
        return "has a style other than simple or form"
    if place == "header" and (is_forbidden(name) or not re.fullmatch(r"[A-Za-z0-9-]{1,64}", name)):
        return "is a header that an argument cannot set"
    return None


def _modern(schema: dict[str, Any], *, nullable: bool) -> dict[str, Any]:
    """A schema of OpenAPI 3.0 as 2020-12: `nullable`, and limits that are exclusive by a flag."""
    for flag, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(flag), bool) and schema.pop(flag) and limit in schema:
            schema[flag] = schema.pop(limit)
    if nullable and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    return schema


def _identifier(name: str) -> str:
    found = re.sub(r"\W", "_", unicodedata.normalize("NFC", name))[:64]
    return found if found.isidentifier() else f"_{found}"


def _is_json(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    return kind in {"application/json", "application/*", "*/*"} or kind.endswith("+json")


def _compiles(pattern: Any) -> bool:
    """Whether a pattern is one that we can read; it is shown to the model only."""
    if not isinstance(pattern, str) or len(pattern) > 200:
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _items(node: Any) -> list[tuple[str, Any]]:
    return list(node.items()) if isinstance(node, dict) else []


def _list(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []
