"""Whether a value surely fits a JSON Schema (2020-12), by the words that nearly all schemas of tools are made of.

A yes is what `jsonschema` would say. A no means that it must be asked: it knows the other words, and why a value does
not fit. Most calls of a tool fit their schema, and then nothing of the library is needed: it brings descriptions of all
drafts, a seventh of the worker's cold start, and takes six times as long for a check.
"""

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from shared.errors import ToolError

_SECONDS = 1.0
"""Of this thread's own work."""
_ends_at: ContextVar[float] = ContextVar("_ends_at")

# What says nothing of a value; `jsonschema` does not look at formats either unless it is told to.
_REMARKS = frozenset({
    "$comment", "$defs", "$schema", "default", "definitions", "deprecated", "description", "example", "examples",
    "format", "nullable", "readOnly", "title", "writeOnly",
})  # fmt: skip
_KINDS: dict[str, type] = {
    "array": list, "boolean": bool, "integer": int, "null": type(None), "object": dict, "string": str,
}  # fmt: skip


def begin() -> None:
    """From now on there is a second of work for a check, whoever goes on with it."""
    _ends_at.set(time.thread_time() + _SECONDS)


def in_time() -> None:
    """Called for each step of a check.

    Raises:
        ToolError: `invalid_schema`, the second is over.
    """
    if time.thread_time() > _ends_at.get():
        raise ToolError("invalid_schema", f"The tool's schema takes more than {_SECONDS:g} s to check.")


def surely_fits(value: Any, schema: Any) -> bool:
    """Whether nothing in the schema can be against the value, as JSON's reader made it.

    Raises:
        ToolError: see `in_time`.
    """
    if isinstance(schema, bool):
        return schema
    in_time()
    for word, said in schema.items():
        if word in _REMARKS:
            continue
        check = _CHECKS.get(word)
        if check is None or not check(value, said, schema):
            return False
    return True


def _is_kind(value: Any, kinds: Any, _schema: Mapping[str, Any]) -> bool:
    return any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _is(value: Any, kind: str) -> bool:
    # The type itself: True is an int of Python and no integer of JSON. 1.0 is one; it is left to the library.
    return type(value) in (int, float) if kind == "number" else type(value) is _KINDS.get(kind)


def _properties(value: Any, said: Any, _schema: Mapping[str, Any]) -> bool:
    return not isinstance(value, dict) or all(
        surely_fits(value[name], each) for name, each in said.items() if name in value
    )


def _others(value: Any, said: Any, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, dict):
        return True
    if "patternProperties" in schema:
        return False
    named = schema.get("properties", {})
    return all(surely_fits(each, said) for name, each in value.items() if name not in named)


def _items(value: Any, said: Any, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, list):
        return True
    return "prefixItems" not in schema and all(surely_fits(each, said) for each in value)


def _one_of_these(value: Any, said: Any, _schema: Mapping[str, Any]) -> bool:
    # 1 and 1.0 are equal in JSON and 1 and True are not; neither is asked here.
    return type(value) in (str, int, bool, type(None)) and any(
        type(each) is type(value) and each == value for each in said
    )


def _some(value: Any, said: Any, _schema: Mapping[str, Any]) -> bool:
    return any(surely_fits(value, each) for each in said)


def _all(value: Any, said: Any, _schema: Mapping[str, Any]) -> bool:
    return all(surely_fits(value, each) for each in said)


def _of(kinds: tuple[type, ...], fits: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    """A check of values of these types; those of others fit."""
    return lambda value, said, _schema: type(value) not in kinds or fits(value, said)


_NUMBERS = (int, float)
_CHECKS: dict[str, Callable[..., bool]] = {
    "type": _is_kind,
    "properties": _properties,
    "additionalProperties": _others,
    "items": _items,
    "enum": _one_of_these,
    "const": lambda value, said, schema: _one_of_these(value, [said], schema),
    "anyOf": _some,
    "allOf": _all,
    "required": _of((dict,), lambda value, said: all(name in value for name in said)),
    "minProperties": _of((dict,), lambda value, said: len(value) >= said),
    "maxProperties": _of((dict,), lambda value, said: len(value) <= said),
    "minItems": _of((list,), lambda value, said: len(value) >= said),
    "maxItems": _of((list,), lambda value, said: len(value) <= said),
    "minLength": _of((str,), lambda value, said: len(value) >= said),
    "maxLength": _of((str,), lambda value, said: len(value) <= said),
    "minimum": _of(_NUMBERS, lambda value, said: value >= said),
    "maximum": _of(_NUMBERS, lambda value, said: value <= said),
    "exclusiveMinimum": _of(_NUMBERS, lambda value, said: value > said),
    "exclusiveMaximum": _of(_NUMBERS, lambda value, said: value < said),
}
