"""Laws of the template: it names every function, gives each no more than it needs, and fits a stack."""

import copy
import json
import re
from typing import Any

import boto3
import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from tests.house.repository import (
    FUNCTIONS,
    ROOT,
    api_functions,
    deployed,
    functions,
    load_json,
    resources,
    shown,
    statements,
)

MAX_RESOURCES = 420
_CODE = ("CodeUri", "ContentUri", "DefinitionUri")


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    """The template as SAM hands it to CloudFormation."""
    source = copy.deepcopy(deployed())
    for resource in source["Resources"].values():
        # SAM takes code from S3 only; `sam deploy` uploads it before.
        resource["Properties"] |= {name: "s3://bucket/key" for name in _CODE if name in resource["Properties"]}
    session = boto3.Session(region_name="eu-central-1")
    result: dict[str, Any] = Translator({}, Parser(), boto_session=session).translate(source, {})
    return result


def test_every_function_has_a_handler_file() -> None:
    missing = [
        f"{function.logical_id} ({shown(function.file)})" for function in functions() if not function.file.exists()
    ]
    assert not missing, f"write the handler file, or correct CodeUri and Handler: {missing}"


def test_every_handler_file_is_a_function() -> None:
    named = {function.file for function in functions()}
    forgotten = [shown(file) for file in FUNCTIONS.glob("*/*.py") if file not in named]
    assert not forgotten, f"add a function to template.yaml, or delete the file: {forgotten}"


def test_every_handler_is_named_handler() -> None:
    odd = [function.logical_id for function in functions() if not function.properties["Handler"].endswith(".handler")]
    assert not odd, f"Handler must be <verb>.handler: {odd}"


def test_every_function_has_policies_without_wildcards() -> None:
    for name, properties in (
        resources("AWS::Serverless::Function") | resources("AWS::Serverless::StateMachine")
    ).items():
        granted = statements(properties)
        assert granted, f"{name} has no Policies: list the actions that it takes, it cannot take others"
        for statement in granted:
            words = json.dumps([statement["Action"], statement["Resource"]])
            assert "*" not in words, f"{name}: name the actions and the resources one by one: {words}"


def test_no_function_may_scan_the_table() -> None:
    scanning = [
        f.name
        for f in functions()
        for s in f.statements
        if {"dynamodb:Scan", "dynamodb:PartiQLSelect"} & {*s["Action"]}
    ]
    assert not scanning, f"a request path never scans: give the list a partition of its own: {scanning}"


def test_the_stack_leaves_room_for_more_resources(expanded: dict[str, Any]) -> None:
    count = len(expanded["Resources"])
    assert count <= MAX_RESOURCES, (
        f"{count} resources, and a stack holds 500: serve the catalogue-like rest by one Lambda per resource (api.py)"
    )


def test_the_template_serves_exactly_the_documented_routes() -> None:
    paths = load_json(ROOT / "openapi.json")["paths"]
    documented = {(method.upper(), path) for path, item in paths.items() for method in item}
    routed = [function.route for function in api_functions() if function.route]
    assert len(routed) == len(set(routed)), "two functions have the same route"
    only_one_knows = documented.symmetric_difference(routed)
    assert not only_one_knows, f"route function, template event and openapi.json must agree: {sorted(only_one_knows)}"


def test_every_function_of_the_api_has_one_route() -> None:
    several = [function.logical_id for function in functions() if len(function.properties.get("Events", {})) > 1]
    assert not several, f"one operation, one function: {several}"


def test_path_variables_have_one_name_at_each_place() -> None:
    names: dict[str, str] = {}
    for function in api_functions():
        assert function.route
        _, path = function.route
        for variable in re.finditer(r"\{([^}]+)\}", path):
            before = re.sub(r"\{[^}]+\}", "{}", path[: variable.start()])
            first = names.setdefault(before, variable[1])
            assert first == variable[1], (
                f"{path}: API Gateway takes one variable name behind {before}, and that is {{{first}}}"
            )


def test_the_authorizer_names_the_usage_plan_key(expanded: dict[str, Any]) -> None:
    sources = {
        r["Properties"].get("ApiKeySourceType") for r in expanded["Resources"].values() if r["Type"].endswith("RestApi")
    }
    assert sources == {"AUTHORIZER"}, "set ApiKeySourceType: AUTHORIZER, else a client picks its own usage plan"


def test_every_route_needs_a_key(expanded: dict[str, Any]) -> None:
    (api,) = [r["Properties"]["Body"] for r in expanded["Resources"].values() if r["Type"].endswith("RestApi")]
    routes = {
        f"{method.upper()} {path}": operation.get("security")
        for path, item in api["paths"].items()
        for method, operation in item.items()
        if method != "options"
    }
    assert routes
    public = {" ".join(function.route) for function in api_functions() if function.route and function.public}
    for route in public:
        assert routes.pop(route) == [{"NONE": []}], f"{route} is public(): its event needs Auth: {{Authorizer: NONE}}"
    open_routes = [route for route, security in routes.items() if security != [{"KeyAuthorizer": []}]]
    assert not open_routes, f"these routes need no key; the DefaultAuthorizer must hold for them: {open_routes}"


def test_the_gateway_speaks_like_the_platform(expanded: dict[str, Any]) -> None:
    (api,) = [r["Properties"]["Body"] for r in expanded["Resources"].values() if r["Type"].endswith("RestApi")]
    answers = api["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(answers), "word DEFAULT_4XX and DEFAULT_5XX: they catch the rest"
    for kind, answer in answers.items():
        text = answer["responseTemplates"]["application/json"]
        # API Gateway puts quotes around a messageString.
        body = json.loads(text.replace("$context.error.messageString", '"..."'))
        assert body.keys() == {"detail", "code", "trace_id"}, f"{kind}: the body is detail, code and trace_id"
        assert body["trace_id"] == "$context.requestId", f"{kind}: the trace id is $context.requestId"
        headers = answer["responseParameters"]
        assert headers.get("gatewayresponse.header.X-Trace-Id") == "context.requestId", (
            f"{kind}: every answer carries X-Trace-Id, from the gateway it is context.requestId"
        )
