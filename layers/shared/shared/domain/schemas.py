"""The JSON Schema (2020-12) of a tool's arguments: what may be saved."""

from typing import Any

from shared.errors import Unprocessable


def check(schema: dict[str, Any]) -> None:
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
        raise _invalid(f"not a JSON Schema: {where or 'root'}: {error.message[:200]}") from error
    except (RecursionError, OverflowError) as error:
        raise _invalid("a pattern is too deep, or counts too far") from error
    if schema.get("type", "object") != "object":
        raise _invalid("the root must have type object")
    for name in schema.get("properties", {}):
        if not name.isidentifier():
            raise _invalid(f"property {name[:50]!r} is not a Python identifier")
    for reference in _references(schema):
        # Resolving a remote schema would be a request to wherever a tenant likes.
        if not reference.startswith("#"):
            raise _invalid("$ref must stay inside the schema (#...)")


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in _references(child)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key in {"$ref", "$dynamicRef"} and isinstance(value, str)]
    return own + [found for child in node.values() for found in _references(child)]


def _invalid(message: str) -> Unprocessable:
    return Unprocessable(
        "The tool is not valid.", errors=[{"loc": ["body", "input_schema"], "msg": message, "type": "value_error"}]
    )
