"""What a tenant's schema may cost: nothing in it is evaluated without bound."""

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from shared.domain import arguments, plain_schemas, schemas
from shared.errors import ToolError


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine has enough time for what is quick; what would go wrong here takes many minutes, or years."""
    monkeypatch.setattr(plain_schemas, "_SECONDS", 20.0)


@contextmanager
def at_once() -> Iterator[None]:
    """Fails a block that takes as long as what is stopped only by its time."""
    started = time.thread_time()
    yield
    assert time.thread_time() - started < plain_schemas._SECONDS + 2


@pytest.fixture
def hurried(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second, for what uses its time up."""
    monkeypatch.setattr(plain_schemas, "_SECONDS", 0.1)


def refused(given: Any, schema: dict[str, Any]) -> str:
    """The code with which the arguments are refused."""
    schemas.check(schema)
    with at_once(), pytest.raises(ToolError) as error:
        arguments.parse(json.dumps(given), schema)
    assert len(error.value.detail) < 500
    return error.value.code


def accepted(given: Any, schema: dict[str, Any]) -> bool:
    schemas.check(schema)
    with at_once():
        return bool(arguments.parse(json.dumps(given), schema) == given)


def test_the_problem_is_named_with_its_place() -> None:
    schema = {"properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "integer"}}}}}}
    with pytest.raises(ToolError) as error:
        arguments.parse('{"a": [{"b": 1}, {"b": "x"}]}', schema)
    assert error.value.detail == "a.1.b: 'x' is not of type 'integer'"


@pytest.mark.parametrize(
    ("given", "schema"),
    [
        ({}, {"required": ["a"]}),
        ({"a": "1"}, {"properties": {"a": {"type": "integer"}}}),
        ({"a": 1}, {"properties": {}, "additionalProperties": False}),
        ({"a": 1}, {"unevaluatedProperties": False}),
        ({"a": "z"}, {"properties": {"a": {"enum": ["x", "y"]}}}),
        ({"a": 5}, {"properties": {"a": {"minimum": 6}}}),
        ({"a": [1, 1]}, {"properties": {"a": {"uniqueItems": True}}}),
        ({"a": 1}, {"not": {"required": ["a"]}}),
        ({"a": {"b": 1}}, {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a": {"type": "string"}}}}}),
        ({"a": 1}, {"propertyNames": {"maxLength": 0}}),
        ({"a": 1}, {"dependentRequired": {"a": ["b"]}}),
    ],
)
def test_the_rest_of_the_schema_holds(given: Any, schema: dict[str, Any]) -> None:
    assert refused(given, schema) == "invalid_arguments"


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}},
        {"patternProperties": {"^b$": {}}, "additionalProperties": False},
        {"patternProperties": {"^b$": {}}, "unevaluatedProperties": False},
        {"propertyNames": {"pattern": "^(a+)+$"}},
        {"$defs": {"x": {"pattern": "^(a+)+$"}}, "properties": {"a": {"$ref": "#/$defs/x"}}},
        {"allOf": [{"if": {"properties": {"a": {"pattern": "^(a+)+$"}}}, "then": {}}]},
        {"dependentSchemas": {"a": {"properties": {"a": {"pattern": "^(a+)+$"}}}}},
    ],
)
def test_patterns_are_not_evaluated(schema: dict[str, Any]) -> None:
    """`(a+)+$` against forty letters and a `!` takes hours."""
    assert accepted({"a": "a" * 40 + "!", "a" * 40 + "!": "x"}, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pattern": {"type": "integer"}, "patternProperties": {"type": "integer"}}},
        {"$defs": {"pattern": {"type": "integer"}}, "properties": {"pattern": {"$ref": "#/$defs/pattern"}}},
        {"dependentSchemas": {"pattern": {"properties": {"pattern": {"type": "integer"}}}}},
    ],
)
def test_a_property_named_pattern_is_no_pattern(schema: dict[str, Any]) -> None:
    assert refused({"pattern": "x"}, schema) == "invalid_arguments"


@pytest.mark.parametrize("word", ["enum", "const"])
def test_a_value_named_pattern_is_no_pattern(word: str) -> None:
    value = {"pattern": "x"}
    schema = {"properties": {"a": {word: [value] if word == "enum" else value}}}
    assert accepted({"a": value}, schema)
    assert refused({"a": {}}, schema) == "invalid_arguments"


@pytest.mark.parametrize("reference", ["$ref", "$dynamicRef"])
@pytest.mark.parametrize("target", ["#", "#/$defs/a"])
def test_references_in_a_circle_end(reference: str, target: str) -> None:
    schema = {reference: target, "$defs": {"a": {reference: "#/$defs/b"}, "b": {reference: "#/$defs/a"}}}
    assert refused({}, schema) == "invalid_schema"


def doubling(reference: str, levels: int, **last: Any) -> dict[str, Any]:
    """Each level refers to the next one twice: two to the power of `levels` in the end."""
    found: dict[str, Any] = {
        f"l{n}": {"allOf": [{reference: f"#/$defs/l{n + 1}"}, {reference: f"#/$defs/l{n + 1}"}]} for n in range(levels)
    }
    return found | {f"l{levels}": last}


@pytest.mark.parametrize("reference", ["$ref", "$dynamicRef"])
@pytest.mark.usefixtures("hurried")
def test_bombs_of_references_end(reference: str) -> None:
    assert refused({}, {reference: "#/$defs/l0", "$defs": doubling(reference, 40)}) == "invalid_schema"


@pytest.mark.parametrize(
    ("word", "via"),
    [
        ("unevaluatedProperties", "dependentSchemas"),
        ("unevaluatedProperties", "allOf"),
        ("unevaluatedProperties", "if"),
        ("unevaluatedItems", "allOf"),
        ("unevaluatedItems", "if"),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_bombs_under_unevaluated_end(word: str, via: str) -> None:
    """What is evaluated is found by another walk through the schema, with references of its own."""
    levels = 40

    def level(n: int) -> dict[str, Any]:
        twice = [{"$ref": f"#/$defs/l{n + 1}"}, {"$ref": f"#/$defs/l{n + 1}"}]
        if via == "dependentSchemas":
            return {via: {"x": twice[0], "y": twice[1]}}
        return {via: twice} if via == "allOf" else {"if": twice[0], "then": twice[1]}

    definitions: dict[str, Any] = {f"l{n}": level(n) for n in range(levels)} | {f"l{levels}": {}}
    inner = {word: False, "$ref": "#/$defs/l0"}
    given: Any = {"x": 1, "y": 2} if word == "unevaluatedProperties" else {"a": [1, 2]}
    schema = inner if word == "unevaluatedProperties" else {"properties": {"a": inner}}
    assert refused(given, schema | {"$defs": definitions}) == "invalid_schema"


@pytest.mark.parametrize("target", ["#/$defs/nowhere", "#nowhere", "#/properties/a/b", "#/%", "#/~"])
def test_references_to_nowhere(target: str) -> None:
    assert refused({"a": 1}, {"properties": {"a": {"$ref": target}}}) == "invalid_schema"


@pytest.mark.parametrize(
    "more",
    [
        {"$id": "http://schemas.example/x"},
        {"$schema": "http://schemas.example/x"},
        {"properties": {"a": {"$ref": "http://schemas.example/x"}}},
        {"properties": {"a": {"$dynamicRef": "http://schemas.example/x"}}},
        {"properties": {"a": {"$id": "http://schemas.example/x", "$ref": "y"}}},
    ],
)
def test_nothing_is_fetched(more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", lambda *given, **_: fetched.append(given))
    schema = {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}} | more
    with pytest.raises(ToolError):
        arguments.parse('{"a": 1}', schema)
    assert fetched == []


@pytest.mark.parametrize(
    "given",
    [
        {"a": [{}] * 20_000},
        {"a": [[n] for n in range(12_000)]},
        {"a": ["x"] * 20_000},
        {"a": [1, "1", None] * 6_000},
    ],
)
def test_unique_items_of_long_lists(given: Any) -> None:
    """Comparing each with each would take minutes."""
    assert refused(given, {"properties": {"a": {"uniqueItems": True, "maxItems": 3}}}) == "invalid_arguments"


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, 1.0], False),
        ([1, True], True),
        ([0, False], True),
        (["1", 1], True),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], False),
        ([[1], [1, 1]], True),
        ([None, None], False),
        ([], True),
    ],
)
def test_unique_items(items: list[Any], unique: bool) -> None:
    schema = {"properties": {"a": {"uniqueItems": True}}}
    assert accepted({"a": items}, schema) if unique else refused({"a": items}, schema) == "invalid_arguments"


@pytest.mark.parametrize("given", [{"a": 10**300}, {"a": 1e300}, {"a": 10**4000}])
def test_multiples_of_tiny_numbers(given: Any) -> None:
    """Whether they are multiples is beyond floats; what counts is that it is said in an error that is ours."""
    assert refused(given, {"properties": {"a": {"multipleOf": 1e-300}}}).startswith("invalid_")
