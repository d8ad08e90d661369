"""Checks what a model wants to call a tool with against the tool's JSON Schema.

Schemas come from tenants, so nothing in them may cost time without bound: `pattern` and `patternProperties` are shown
to the model but not evaluated (Python's `re` has no time limit), and everything else has a second of work, whatever
else the processor does meanwhile.
"""

import json
import time
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.exceptions import best_match
from referencing import Registry

from shared import json_text
from shared.errors import ToolError

_SECONDS = 1.0
"""Of this thread's own work."""
_ends_at: ContextVar[float] = ContextVar("_ends_at")
_SCHEMA_MAPS = {"properties", "$defs", "definitions", "dependentSchemas"}
_PLAIN_VALUES = {"enum", "const", "default", "examples", "required", "dependentRequired"}


def parse(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The arguments as an object that fits the schema.

    Raises:
        ToolError: `invalid_arguments`, saying where; `invalid_schema` if the schema leads nowhere.
    """
    try:
        arguments = json_text.parse(text or "{}")
    except ValueError as error:
        raise ToolError("invalid_arguments", f"The text of the arguments {error}.") from error
    if not isinstance(arguments, dict):
        raise ToolError("invalid_arguments", "The arguments are not a JSON object.")
    if not schema:
        return arguments
    try:
        problem = best_match(_validator(without_patterns(schema)).iter_errors(arguments))
    except RecursionError as error:
        raise ToolError("invalid_schema", "The tool's schema refers to itself without end.") from error
    except ToolError:
        raise
    except Exception as error:
        # A $ref to nowhere raises the resolver's own errors.
        raise ToolError("invalid_schema", f"The tool's schema cannot be followed ({type(error).__name__}).") from error
    if problem is not None:
        where = ".".join(str(part) for part in problem.absolute_path) or "arguments"
        raise ToolError("invalid_arguments", f"{where}: {problem.message[:300]}")
    return arguments


def without_patterns(schema: Any) -> Any:
    """The schema without regular expressions, and without what would turn stricter without them."""
    if isinstance(schema, list):
        return [without_patterns(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    dropped = {"pattern"}
    if "patternProperties" in schema:
        dropped |= {"patternProperties", "additionalProperties", "unevaluatedProperties"}
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in dropped:
            continue
        if key in _PLAIN_VALUES:
            kept[key] = value
        elif key in _SCHEMA_MAPS and isinstance(value, dict):
            kept[key] = {name: without_patterns(child) for name, child in value.items()}
        else:
            kept[key] = without_patterns(value)
    return kept


def _validator(schema: dict[str, Any]) -> Any:
    """A validator that looks at its time before each keyword, wherever a `$ref` leads it."""
    _ends_at.set(time.thread_time() + _SECONDS)
    # An empty registry: a reference is never fetched.
    return _bounded()(schema, registry=Registry())


@cache
def _bounded() -> Any:
    """The validators' class: made once, which takes longer than most checks."""
    checks = Draft202012Validator.VALIDATORS | {"uniqueItems": _unique_items}
    extend: Any = validators.extend
    return extend(
        Draft202012Validator,
        {word: _timed(check) for word, check in checks.items()},
        type_checker=Draft202012Validator.TYPE_CHECKER.redefine("boolean", _is_boolean),
    )


def _timed(check: Any) -> Any:
    def run(validator: Any, value: Any, instance: Any, node: Any) -> Any:
        _in_time()
        return check(validator, value, instance, node)

    return run


def _is_boolean(_: Any, instance: Any) -> bool:
    # What `unevaluatedProperties` and `unevaluatedItems` ask of each schema on a walk of their own.
    _in_time()
    return isinstance(instance, bool)


def _in_time() -> None:
    if time.thread_time() > _ends_at.get():
        raise ToolError("invalid_schema", f"The tool's schema takes more than {_SECONDS:g} s to check.")


def _unique_items(validator: Any, unique: Any, instance: Any, node: Any) -> Iterator[ValidationError]:
    """As in jsonschema, which compares each item with each."""
    if unique and isinstance(instance, list):
        # 1 and 1.0 are the same number, True is none.
        plain = json.loads(json.dumps(instance), parse_float=_whole)
        if len({json.dumps(item, sort_keys=True) for item in plain}) < len(plain):
            yield ValidationError("has items that are not unique")


def _whole(digits: str) -> float:
    value = float(digits)
    return int(value) if value.is_integer() else value
