"""Hostile OpenAPI documents: refused, and quickly; what is stored of odd ones is still a schema."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.unit.support.busy import in_work_of
from tests.unit.support.gateway import Api
from tests.unit.support.petstore import PARAMETER, body, document, imported, one, refused

pytestmark = pytest.mark.covers("POST /tools/import")
CIRCLE = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"swagger": "2.0", "paths": {}},
        {"openapi": "2.0", "paths": {}},
        {"openapi": "3.2.0", "paths": {"/x": {"get": {}}}},
        {"openapi": 3.1, "paths": {}},
        {"openapi": "3.1.0"},
        {"openapi": "3.1.0", "paths": []},
        {"openapi": "3.1.0", "paths": {}},
        {"openapi": "3.1.0", "paths": {"x": {}}},
        {"openapi": "3.1.0", "paths": {"/x": 7}},
        {"openapi": "3.1.0", "paths": {"/x": {"$ref": "#/paths/~1x"}}},
        {"openapi": "3.1.0", "paths": {"/x": {"$ref": "https://evil.example/x.json"}}},
        one(body({"$ref": "https://evil.example/schema.json"})),
        one(body({"$ref": "file:///etc/passwd"})),
        one(body({"$ref": "other.json#/x"})),
        one(body({"$ref": "//evil.example"})),
        one(body({"$ref": "#"})),
        one(body({"$ref": "#anchor"})),
        one(body({"$ref": 7})),
        one(body({"$ref": "#/nowhere"})),
        one(body({"$ref": "#/paths/99999999999999999999"})),
        one(body({"$ref": "#/components/schemas/A"}), components={"schemas": CIRCLE}),
        one(body({"properties": {"a": {"$ref": "#/components/schemas/A"}}}), components={"schemas": CIRCLE}),
        one(body({"properties": {"a": {"$ref": "https://evil.example/"}}})),
        one({"parameters": [{"$ref": "#/paths/~1x/post/parameters/0"}]}),
        one({"requestBody": {"$ref": "#/paths/~1x/post/requestBody"}}),
    ],
)
def test_hostile_documents(api: Api, spec: dict[str, Any]) -> None:
    with in_work_of(2):
        refused(api.post("/tools/import", {"document": spec}))
    assert api.get("/tools").json == []


def deep_all_of(depth: int) -> dict[str, Any]:
    """Each schema names the next one twice: expanded in place it would be 2 to the power of `depth`."""
    name = "#/components/schemas/S{}".format
    schemas: dict[str, Any] = {f"S{n}": {"allOf": [{"$ref": name(n + 1)}] * 2} for n in range(depth)}
    schemas[f"S{depth}"] = {"properties": {"a": {"$ref": name(0)}}}
    return one(body({"$ref": name(0)}), components={"schemas": schemas})


def wide() -> dict[str, Any]:
    """50 operations, each of which names one large schema 1,000 times."""
    big = {"properties": {f"p{n}": {"type": "string"} for n in range(2_000)}}
    operation = body({"allOf": [{"$ref": "#/components/schemas/Big"}] * 20})
    paths = {f"/x{n}": {"post": operation | {"operationId": f"op{n}"}} for n in range(50)}
    return one({}, paths=paths, components={"schemas": {"Big": big}})


def chained() -> dict[str, Any]:
    """References that lead through seven others each."""
    links: dict[str, Any] = {}
    for n in range(900):
        for m in range(7):
            links[f"c{n}_{m}"] = {"$ref": f"#/components/schemas/c{n}_{m + 1}"}
        links[f"c{n}_7"] = {"type": "string"}
    fields = {f"f{n}": {"$ref": f"#/components/schemas/c{n}_0"} for n in range(900)}
    paths = {f"/x{n}": {"post": body({"properties": fields}) | {"operationId": f"op{n}"}} for n in range(8)}
    return one({}, paths=paths, components={"schemas": links})


@pytest.mark.parametrize(
    "spec",
    [
        deep_all_of(7),
        deep_all_of(30),
        wide(),
        chained(),
        one({}, paths={f"/x{n}": {"get": {"operationId": f"op{n}"}} for n in range(1_000)}),
        one({"parameters": [PARAMETER | {"name": f"q{n}"} for n in range(10_000)]}),
        one(body({"properties": {"a": {"pattern": "(" * 150 + ")" * 150, "enum": [{}] * 3_000}}})),
    ],
    ids=["allOf^7", "allOf^30", "wide", "chained", "1,000 operations", "10,000 parameters", "pattern"],
)
def test_documents_that_would_cost_much(api: Api, spec: dict[str, Any]) -> None:
    with in_work_of(4):
        answer = api.post("/tools/import", {"document": spec})
    assert answer.status in {201, 422}
    for tool in api.get("/tools").json:
        Draft202012Validator.check_schema(tool["input_schema"])
        assert len(json.dumps(tool["input_schema"])) < 20_000


def test_ten_megabytes_are_refused_at_the_edge(api: Api) -> None:
    spec = one(body({"properties": {"a": {"description": "x" * 10_000_000}}}))
    assert api.post("/tools/import", {"document": spec}).status == 413
    nested: Any = {}
    for _ in range(60):
        nested = {"items": nested}
    assert api.post("/tools/import", {"document": one(body({"properties": {"a": nested}}))}).status == 400


@pytest.mark.parametrize(
    "keywords",
    [
        {"type": "objekt"},
        {"type": []},
        {"type": ["string", "string"]},
        {"type": ["string", 7]},
        {"required": "a"},
        {"required": ["a", "a"]},
        {"minimum": "1"},
        {"minLength": -1},
        {"maxItems": 1.5},
        {"multipleOf": 0},
        {"enum": "x"},
        {"uniqueItems": "yes"},
        {"dependentRequired": {"a": "b"}},
        {"pattern": "("},
        {"pattern": "\\p{L}+"},
        {"allOf": []},
        {"anyOf": "x"},
        {"exclusiveMinimum": True},
        {"exclusiveMaximum": False, "maximum": 3},
        {"nullable": True, "type": ["string"]},
        {"description": 7},
        {"$id": "https://evil.example/", "$schema": "https://evil.example/", "$anchor": "x", "$dynamicRef": "#x"},
        {"x-internal": {"$ref": "https://evil.example/"}, "discriminator": {}, "xml": {}, "example": {}},
        {"properties": []},
        {"const": {"$ref": "https://evil.example/"}},
    ],
)
def test_keywords_that_have_no_valid_form_are_left_out(api: Api, keywords: dict[str, Any]) -> None:
    """What is stored is a schema that `POST /tools` takes too."""
    tool = imported(api, one(body({"properties": {"a": {"title": "A", **keywords}}})))["op"]
    assert tool["input_schema"]["properties"]["a"]["title"] == "A"
    if "const" not in keywords:
        assert "evil" not in json.dumps(tool)
        again = {name: tool[name] for name in ("input_schema", "endpoint", "http_method", "argument_places")}
        assert api.make("/tools", name="again", **again)["input_schema"] == tool["input_schema"]


@pytest.mark.parametrize(
    "changed",
    [
        {"document": "openapi: 3.1.0"},
        {"document": None},
        {"include_operations": ["nobody"]},
        {"exclude_operations": ["nobody"]},
        {"include_operations": []},
        {"include_tags": ["nobody"]},
        {"base_url": "ftp://x.example"},
        {"auth_type": "oauth2"},
        {"auth_config": {"header": "Host"}},
        {"category": ""},
        {"tags": ["x" * 51]},
        {"prefix": "x" * 51},
        {"prefix": "a\nb"},
        {"url": "https://evil.example/openapi.json"},
    ],
)
def test_bodies_that_are_refused(api: Api, changed: dict[str, Any]) -> None:
    assert api.post("/tools/import", {"document": document()} | changed).status == 422
    assert api.get("/tools").json == []
