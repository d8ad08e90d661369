"""Laws of openapi.json: it is what the handlers say, valid, and names everything once."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import BaseModel

import shared.domain
from local import openapi
from tests.house.repository import ROOT, load_json

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
        assert [code for code in answers if code.startswith("2")], f"{operation['operationId']} never succeeds"


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
