"""What is said to fit without the library fits with it."""

import json
import random
import subprocess
import sys
from typing import Any

import pytest

from shared.domain import arguments, full_schemas, plain_schemas
from shared.errors import ToolError

_VALUES: list[Any] = [None, True, False, 0, 1, -1, 2.5, 1.0, 10**20, "", "a", "ab", "abc", [], {}]
_KINDS = ["array", "boolean", "integer", "null", "number", "object", "string"]


def _value(chance: random.Random, depth: int) -> Any:
    kind = chance.randrange(6) if depth else 0
    if kind == 1:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(3))]
    if kind >= 2:
        return {name: _value(chance, depth - 1) for name in chance.sample("abc", chance.randrange(4))}
    return chance.choice(_VALUES)


def _schema(chance: random.Random, depth: int) -> Any:
    if not depth or not chance.randrange(12):
        return chance.choice([True, False, {}, {"type": chance.choice(_KINDS)}])

    def below() -> Any:
        return _schema(chance, depth - 1)

    words: dict[str, Any] = {
        "type": chance.choice([*_KINDS, chance.sample(_KINDS, 4), "object", "object", "array"]),
        "properties": {name: below() for name in chance.sample("abc", chance.randrange(4))},
        "patternProperties": {"^a": below()},
        "additionalProperties": below(),
        "items": below(),
        "prefixItems": [below()],
        "enum": [*chance.sample(_VALUES, 6), _value(chance, 1)],
        "const": _value(chance, 1),
        "anyOf": [below(), below()],
        "allOf": [below()],
        "oneOf": [below(), below()],
        "not": below(),
        "if": below(),
        "then": below(),
        "uniqueItems": True,
        "required": chance.sample("abc", chance.randrange(2)),
        "format": "email",
        "nullable": True,
        "$comment": "words",
    }
    for word in ("minProperties", "maxProperties", "minItems", "maxItems", "minLength", "maxLength"):
        words[word] = chance.randrange(3)
    for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        words[word] = chance.choice([-1, 0, 0.5, 1, 3])
    return {word: words[word] for word in chance.sample(sorted(words), chance.randrange(1, 4))}


@pytest.mark.parametrize("seed", range(8))
def test_what_surely_fits_does(seed: int) -> None:
    chance, fitted = random.Random(seed), 0
    for _ in range(400):
        schema, value = {"type": "object"} | {"properties": {"a": _schema(chance, 3)}}, {"a": _value(chance, 3)}
        if chance.randrange(2):
            schema["additionalProperties"] = _schema(chance, 1)
            value["d"] = _value(chance, 1)
        plain_schemas.begin()
        if plain_schemas.surely_fits(value, schema):
            fitted += 1
            assert full_schemas.problem(value, schema) is None, (value, schema)
    assert fitted > 40


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (True, {"type": "integer"}),
        (True, {"type": "number"}),
        (True, {"enum": [1]}),
        (1, {"const": True}),
        (1.0, {"enum": [1]}),
        ([], {"enum": [[]]}),
        ("abc", {"maxLength": 2}),
        ("abc", {"pattern": "^x"}),
        ([1], {"items": {"type": "string"}, "prefixItems": [{}]}),
        ({"ab": 1}, {"patternProperties": {"^a": {}}, "additionalProperties": False}),
        ({"a": 1}, {"$ref": "#/$defs/x", "$defs": {"x": False}}),
        ({"a": 1}, {"unevaluatedProperties": False}),
        ({}, {"a word of tomorrow": {}}),
        ({}, False),
    ],
)
def test_what_is_not_sure_is_left_to_the_library(value: Any, schema: Any) -> None:
    plain_schemas.begin()
    assert not plain_schemas.surely_fits(value, schema)


_WEATHER = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "title": "Weather",
    "properties": {
        "city": {"type": "string", "minLength": 1, "description": "where", "pattern": "^[A-Z]"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
        "units": {"enum": ["metric", "imperial"]},
        "hours": {"type": "array", "items": {"type": "number"}, "maxItems": 24},
        "near": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"lat": {"type": "number"}}}]},
    },
    "required": ["city"],
    "additionalProperties": False,
}
_GIVEN = {"city": "Berlin", "days": 2, "units": "metric", "hours": [1, 2.5], "near": {"lat": 52.5}}


def test_a_usual_call_of_a_tool_needs_no_library() -> None:
    code = f"import sys\nfrom shared.domain import arguments\narguments.parse({json.dumps(_GIVEN)!r}, {_WEATHER!r})\n"
    found = subprocess.run(
        [sys.executable, "-c", f"{code}print('jsonschema' in sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("change", [{"city": ""}, {"days": 15}, {"units": "old"}, {"hours": ["1"]}, {"more": 1}])
def test_one_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ToolError):
        arguments.parse(json.dumps(_GIVEN | change), _WEATHER)
