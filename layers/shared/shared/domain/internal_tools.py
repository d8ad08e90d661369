"""Tools that ship with the platform: echo, calculator, current_time, http_get.

`http_get` is described here and carried out where webhooks are, behind the same guards.
"""

import ast
import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.errors import ToolError

_MAX_BITS = 3_000  # about 900 digits; Python writes no number of more than 4,300
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}


def _schema(required: dict[str, str], optional: dict[str, str] | None = None) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in (required | (optional or {})).items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


_SCHEMAS = {
    "echo": {"type": "object", "properties": {"text": {"type": "string"}}},
    "calculator": _schema({"expression": "Arithmetic with + - * / // % ** and parentheses, such as (2+3)*4"}),
    "current_time": _schema({}, {"timezone": "IANA name, such as Europe/Berlin; UTC if left out"}),
    "http_get": _schema({"url": "http or https address on one of the allowed domains"}),
}

DESCRIPTIONS = {
    "echo": "Answers with its arguments.",
    "calculator": "Arithmetic on numbers.",
    "current_time": "The time in a time zone.",
    "http_get": "Reads a page on one of the domains that the binding allows.",
}
"""What the internal tools do, by name."""


def schema_of(name: str) -> dict[str, Any]:
    """The arguments of an internal tool as JSON Schema; any object if there is no such tool."""
    return _SCHEMAS.get(name, {"type": "object", "properties": {}})


def run(name: str, arguments: dict[str, Any]) -> Any:
    """Carry out an internal tool.

    Raises:
        ToolError: no such tool, or it cannot do that.
    """
    match name:
        case "echo":
            return arguments
        case "calculator":
            return {"result": calculate(str(arguments.get("expression", "")))}
        case "current_time":
            return {"time": current_time(str(arguments.get("timezone") or "UTC"))}
    raise ToolError("not_implemented", f"The platform has no internal tool named {name!r}.")


def current_time(timezone: str) -> str:
    """The time in a time zone, ISO 8601 with offset."""
    try:
        zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ToolError("invalid_arguments", f"Unknown time zone {timezone[:50]!r}.") from error
    return datetime.now(zone).isoformat(timespec="seconds")


def calculate(expression: str) -> int | float:
    """Arithmetic on numbers, walked node by node: nothing is ever evaluated as Python."""
    if len(expression) > 500:
        raise ToolError("invalid_arguments", "The expression is longer than 500 characters.")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (ArithmeticError, ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ToolError("invalid_arguments", f"Cannot calculate that: {type(error).__name__}.") from error


def _value(node: ast.expr) -> int | float:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _real(node.value)
        case ast.UnaryOp():
            if (unary := _UNARY.get(type(node.op))) is not None:
                return _real(unary(_value(node.operand)))
        case ast.BinOp():
            left, right = _value(node.left), _value(node.right)
            if isinstance(node.op, ast.Pow) and not _small_power(left, right):
                raise ToolError("invalid_arguments", "The power is too large.")
            if (binary := _BINARY.get(type(node.op))) is not None:
                return _real(binary(left, right))
    raise ToolError("invalid_arguments", "Only numbers and + - * / // % ** ( ) are understood.")


def _real(value: Any) -> int | float:
    """The value, if it is one that JSON can carry: no complex number, no infinity, no thousands of digits."""
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and value.bit_length() <= _MAX_BITS:
        return value
    raise ToolError("invalid_arguments", "A number is too large, or not a real one.")


def _small_power(base: int | float, exponent: int | float) -> bool:
    """Whether the power stays small; a big one would hold the worker for minutes before it is refused."""
    if isinstance(base, float) or isinstance(exponent, float):
        return True
    return abs(exponent) * max(1, base.bit_length()) <= _MAX_BITS
