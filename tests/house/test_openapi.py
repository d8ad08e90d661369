"""Laws of openapi.json: it is what the handlers say, valid, and names everything once."""

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel

import shared.domain
from local import examples, openapi
from shared.domain.scopes import SCOPES
from tests.house.repository import EVENTS, ROOT, load_json

DOCUMENT: dict[str, Any] = load_json(ROOT / "openapi.json")


def _operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def _parameters(operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    components = DOCUMENT["components"]["parameters"]
    found = [components[p["$ref"].rpartition("/")[2]] if "$ref" in p else p for p in operation["parameters"]]
    return {parameter["name"]: parameter for parameter in found}


def test_the_document_does_not_drift() -> None:
    problem = openapi.drift()
    assert problem is None, problem


def test_the_document_is_valid() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_operation_ids_are_the_names_of_the_route_functions() -> None:
    for method, path, operation in _operations():
        name = operation["operationId"]
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", name), f"{method} {path}: {name!r} should read like create_agent"
        assert operation.get("summary"), f"{name}: give the route a summary"
        assert operation.get("tags"), f"{name}: give the route a tag"


def test_every_operation_says_how_it_fails() -> None:
    for _, _, operation in _operations():
        answers = operation["responses"].keys()
        edge = {"401", "403", "429", "500"} if operation["security"] else {"429", "500"}
        assert edge <= answers, f"{operation['operationId']} lacks the errors of the edge"
        assert [code for code in answers if code.startswith("2") or code == "302"], (
            f"{operation['operationId']} never succeeds"
        )


def test_every_error_has_the_one_body() -> None:
    bodies = {
        answer["content"]["application/json"]["schema"]["$ref"]
        for answer in DOCUMENT["components"]["responses"].values()
    }
    assert bodies == {"#/components/schemas/Error"}


def test_every_post_can_be_repeated_safely() -> None:
    bare = [
        o["operationId"]
        for method, _, o in _operations()
        if method == "post" and "Idempotency-Key" not in _parameters(o)
    ]
    assert not bare, f"every POST takes an Idempotency-Key: {bare}"


def test_lists_page_by_single_parameters() -> None:
    for _, _, operation in _operations():
        parameters = _parameters(operation)
        assert "paging" not in parameters, f"{operation['operationId']}: paging must be expanded"
        if "cursor" in parameters:
            assert {"cursor", "limit", "offset", "skip", "page", "page_size"} <= parameters.keys()
            assert parameters["limit"]["schema"]["type"] == "integer"
            assert "X-Next-Cursor" in operation["responses"]["200"]["headers"]


def _bodies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for _, _, operation in _operations():
        name = operation["operationId"]
        sent = operation.get("requestBody", {}).get("content", {})
        yield from ((f"{name} takes", media_type, media) for media_type, media in sent.items())
        for status, answer in operation["responses"].items():
            for media_type, media in answer.get("content", {}).items():
                yield f"{name} answers {status}", media_type, media
    for name, answer in DOCUMENT["components"]["responses"].items():
        yield name, "application/json", answer["content"]["application/json"]


def test_every_body_has_an_example_that_its_schema_takes() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for what, media_type, media in _bodies():
        if media_type != "text/html":
            assert "example" in media, f"{what}: {media_type} has no example"
            assert examples.fits(media["example"], media["schema"], schemas), f"{what}: correct local/examples.py"


def test_bodies_of_requests_are_those_of_the_events() -> None:
    given = [media["example"] for what, _, media in _bodies() if what.endswith("takes")]
    bodies = [load_json(file).get("body") for file in EVENTS.glob("*/*.json")]
    written = [json.loads(body) for body in bodies if body and body.startswith("{")]
    assert len(written) > 10
    assert not [body for body in written if body not in given], "the example of a request is the body of its event"


def test_every_tag_is_described() -> None:
    described = {tag["name"] for tag in DOCUMENT["tags"] if tag["description"]}
    used = {tag for _, _, operation in _operations() for tag in operation["tags"]}
    assert described == used


def test_there_are_three_ways_to_sign_in() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {
        "ApiKey": "apiKey",
        "Bearer": "http",
        "OAuth2": "oauth2",
    }
    assert schemes["OAuth2"]["flows"]["clientCredentials"]["scopes"].keys() == SCOPES
    for _, _, operation in _operations():
        ways = operation["security"]
        assert not ways or [[*way] for way in ways] == [["ApiKey"], ["Bearer"], ["OAuth2"]]
        assert len({str([*way.values()]) for way in ways}) <= 1, "each way needs the same scopes"


def test_class_names_are_global() -> None:
    seen: dict[str, type[BaseModel]] = {}
    for module in pkgutil.iter_modules(shared.domain.__path__, "shared.domain."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type) and issubclass(value, BaseModel) and value.__module__.startswith("shared."):
                first = seen.setdefault(name, value)
                assert first is value, (
                    f"{first.__module__}.{name} and {value.__module__}.{name}: rename one, schemas are merged by name"
                )
    assert seen
