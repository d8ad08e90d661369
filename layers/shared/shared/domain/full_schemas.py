"""What keeps a value from fitting a JSON Schema (2020-12), whatever is in it: `jsonschema`, held to the clock."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.exceptions import best_match
from referencing import Registry

from shared.domain.plain_schemas import in_time


def problem(value: Any, schema: dict[str, Any]) -> ValidationError | None:
    """The one that says most, or nothing; looks at its time before each keyword, wherever a `$ref` leads.

    Raises:
        ToolError: see `in_time`.
        RecursionError: the schema refers to itself without end. Others, of the resolver: to nowhere.
    """
    # An empty registry: a reference is never fetched.
    found: ValidationError | None = best_match(_bounded()(schema, registry=Registry()).iter_errors(value))
    return found


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
        in_time()
        return check(validator, value, instance, node)

    return run


def _is_boolean(_: Any, instance: Any) -> bool:
    # What `unevaluatedProperties` and `unevaluatedItems` ask of each schema on a walk of their own.
    in_time()
    return isinstance(instance, bool)


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
