"""JSON as RFC 8259 means it, no wider than what every reader behind us can take.

Python's own reader also takes `NaN`, turns `1e999` into infinity, and reads half of a surrogate pair; its writer gives
them back as they are, and no other reader takes them. Pydantic's reader ends at about 200 levels.
"""

import json
import math
from typing import Any

MAX_DEPTH = 40


def parse(text: str, *, unique: bool = False) -> Any:
    """The value that a text stands for.

    Args:
        unique: refuse an object that names a member twice.

    Raises:
        ValueError: it is no such JSON; the message goes on after "the body" or "the arguments".
    """
    try:
        hook = _unique if unique else None
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=hook)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not valid JSON") from error
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise ValueError(f"is nested deeper than {MAX_DEPTH} levels")
    if "\\ud" in text.lower():
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("holds half of a surrogate pair") from error
    return value


def size(value: Any) -> int:
    """The bytes that a value takes up as JSON, which is how the table keeps it: a control character takes six."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member stands twice")
    return found


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("beyond the range of a float")
    return value


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return deepest
