"""Checks what a model wants to call a tool with against the tool's JSON Schema.

Schemas come from tenants, so nothing in them may cost time without bound: `pattern` and `patternProperties` are shown
to the model but not evaluated (Python's `re` has no time limit), and everything else has a second of work, whatever
else the processor does meanwhile.
"""

from typing import Any

from shared import json_text
from shared.domain import plain_schemas
from shared.errors import ToolError

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
        checked = without_patterns(schema)
        plain_schemas.begin()
        if plain_schemas.surely_fits(arguments, checked):
            return arguments
        # Rarely needed, and dear to import.
        from shared.domain import full_schemas

        problem = full_schemas.problem(arguments, checked)
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
