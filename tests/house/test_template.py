"""Laws of the template: it names every function, gives each no more than it needs, and fits a stack."""

import json
import os
import re
from typing import Any

import pytest

from local import definition, operations
from shared.api.stream import READY_PATH
from tests.house.expansion import expand
from tests.house.repository import (
    FUNCTIONS,
    ROOT,
    api_functions,
    deployed,
    functions,
    load_json,
    resources,
    shown,
)

MAX_RESOURCES = 420
DEFINED: dict[str, Any] = load_json(ROOT / "api.json")["paths"]
_METHODS = {"get", "put", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def expanded() -> dict[str, Any]:
    """The template as SAM hands it to CloudFormation."""
    return expand(deployed())


def _body(expanded: dict[str, Any]) -> dict[str, Any]:
    (body,) = [r["Properties"]["Body"] for r in expanded["Resources"].values() if r["Type"].endswith("RestApi")]
    assert isinstance(body, dict)
    return body


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
    named = [f for f in functions() if f.script is None]
    odd = [function.logical_id for function in named if not function.properties["Handler"].endswith(".handler")]
    assert not odd, f"Handler must be <verb>.handler, or <verb>.sh for a streamed answer: {odd}"


def test_streamed_answers_and_the_web_adapter_go_together(expanded: dict[str, Any]) -> None:
    (api,) = [r["Properties"]["Body"] for r in expanded["Resources"].values() if r["Type"].endswith("RestApi")]
    for function in api_functions():
        assert function.route
        method, path = function.route
        integration = api["paths"][path][method.lower()]["x-amazon-apigateway-integration"]
        streams = integration.get("responseTransferMode") == "STREAM"
        assert streams == (function.script is not None), f"{function.name}: RESPONSE_STREAM needs a .sh handler"
        if function.script is not None:
            assert os.access(function.script, os.X_OK), f"{shown(function.script)} must be executable"
            assert integration["uri"]["Fn::Sub"].endswith("/response-streaming-invocations")
            assert integration["timeoutInMillis"] == function.properties["Timeout"] * 1000
            variables = function.properties["Environment"]["Variables"]
            assert variables["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/bootstrap"
            assert variables["AWS_LWA_INVOKE_MODE"] == "response_stream"
            assert variables["AWS_LWA_READINESS_CHECK_PATH"] == READY_PATH


def test_every_function_has_policies() -> None:
    for name, properties in (
        resources("AWS::Serverless::Function") | resources("AWS::Serverless::StateMachine")
    ).items():
        assert "Policies" in properties, f"{name} has no Policies: list the actions that it takes, [] if none"


def test_every_function_of_the_api_may_count_its_requests() -> None:
    cannot = [
        function.name
        for function in api_functions()
        if not function.public and not any("dynamodb:UpdateItem" in s["Action"] for s in function.statements)
    ]
    assert not cannot, f"the edge counts requests and records refusals by dynamodb:UpdateItem on the table: {cannot}"


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


def test_the_definition_does_not_drift() -> None:
    problem = definition.drift()
    assert problem is None, problem


def test_the_api_serves_exactly_the_documented_routes() -> None:
    paths = load_json(ROOT / "openapi.json")["paths"]
    documented = {(method.upper(), path) for path, item in paths.items() for method in item}
    routed = {(method.upper(), path) for path, item in DEFINED.items() for method in item if method in _METHODS}
    assert routed == documented, f"openapi.json and api.json must agree: {sorted(routed ^ documented)}"


def without_code(paths: dict[str, Any]) -> list[str]:
    """The routes of an API's definition behind which no function stands that declares them."""
    served = {function.logical_id: function.route for function in functions()}
    lost = []
    for path, item in paths.items():
        for method in item.keys() & _METHODS:
            uri = item[method]["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
            (called,) = re.findall(r"/functions/\$\{(\w+)\.\w+\}", uri)
            if served.get(called) != (method.upper(), path):
                lost.append(f"{method.upper()} {path} -> {called}")
    return lost


def test_every_route_has_code() -> None:
    lost = without_code(DEFINED)
    assert not lost, f"write the function, or run `make openapi`: {lost}"


def test_a_route_without_code_is_found() -> None:
    integration = json.dumps(DEFINED["/agents"]["get"]).replace("AgentsList", "AgentsForget")
    assert without_code(DEFINED | {"/agents": {"get": json.loads(integration)}}) == ["GET /agents -> AgentsForget"]
    # Nor does a function serve what it does not declare.
    assert without_code({"/moved": {"get": DEFINED["/agents"]["get"]}}) == ["GET /moved -> AgentsList"]


def test_the_routes_stand_in_the_handlers_only() -> None:
    told_twice = [
        name
        for name, properties in resources("AWS::Serverless::Function").items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "Api"
    ]
    assert not told_twice, f"delete their Events of type Api: api.json is made from the handlers: {told_twice}"


def test_every_operation_is_a_function_of_its_own() -> None:
    files = [operation.file for operation in operations.operations()]
    several = {shown(file) for file in files if files.count(file) > 1}
    assert not several, f"one operation, one function: {several}"


def test_functions_are_named_like_their_files() -> None:
    odd = [f"{f.logical_id} ({shown(f.file)})" for f in functions() if f.logical_id != operations.logical_id(f.file)]
    assert not odd, f"folder and verb make the name, as in AgentsCreate: {odd}"


def test_every_path_answers_other_methods_and_preflights_itself() -> None:
    for path, item in DEFINED.items():
        mocks = {item[name]["x-amazon-apigateway-integration"]["type"] for name in item.keys() - _METHODS}
        assert item.keys() >= {"options", "x-amazon-apigateway-any-method"}, f"{path} lacks a method"
        assert mocks == {"mock"}, f"{path}: OPTIONS and 405 need no function"


def test_the_gateway_may_call_its_functions_and_no_others(expanded: dict[str, Any]) -> None:
    policies = {n: r for n, r in expanded["Resources"].items() if n.startswith("ApiCalls")}
    granted = [s for r in policies.values() for s in r["Properties"]["PolicyDocument"]["Statement"]]
    assert {action for statement in granted for action in statement["Action"]} == {"lambda:InvokeFunction"}
    allowed = [
        resource["Fn::GetAtt"][0] if "Fn::GetAtt" in resource else resource["Ref"]
        for statement in granted
        for resource in statement["Resource"]
    ]
    # The authorizer is called by its alias; SAM makes its logical id.
    needed = {function.logical_id for function in api_functions()} | {"AuthorizerAuthorizeAliaslive"}
    assert sorted(allowed) == sorted(needed)
    assert {one["Ref"] for one in deployed()["Resources"]["ApiRole"]["Properties"]["ManagedPolicyArns"]} == {*policies}
    permissions = [n for n, r in expanded["Resources"].items() if r["Type"] == "AWS::Lambda::Permission"]
    assert not permissions, f"the role is enough, and each permission is a resource: {permissions}"


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
    assert _body(expanded)["x-amazon-apigateway-api-key-source"] == "AUTHORIZER", "else a client picks its own plan"


def test_every_route_needs_a_key(expanded: dict[str, Any]) -> None:
    routes = {
        (method.upper(), path): operation["security"]
        for path, item in _body(expanded)["paths"].items()
        for method, operation in item.items()
        if method in _METHODS
    }
    public = {function.route for function in api_functions() if function.public}
    # The authorizer says who calls and by which key usage plans count.
    by_key: dict[str, Any] = {"KeyAuthorizer": [], "UsagePlanKey": []}
    open_routes = {route for route, security in routes.items() if security != [by_key]}
    assert open_routes == public, f"only public() routes need no key: {open_routes ^ public}"


def test_the_gateway_speaks_like_the_platform(expanded: dict[str, Any]) -> None:
    answers = _body(expanded)["x-amazon-apigateway-gateway-responses"]
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(answers), "word DEFAULT_4XX and DEFAULT_5XX: they catch the rest"
    for kind, answer in answers.items():
        text = answer["responseTemplates"]["application/json"]
        # API Gateway puts quotes around a messageString.
        body = json.loads(text.replace("$context.error.messageString", '"..."'))
        assert body.keys() == {"detail", "code", "trace_id"}, f"{kind}: the body is detail, code and trace_id"
        assert body["trace_id"] == "$context.requestId", f"{kind}: the trace id is $context.requestId"
        headers = answer["responseParameters"]
        assert headers.get("gatewayresponse.header.Access-Control-Allow-Origin") == "'*'", (
            f"{kind}: pages cannot read it"
        )
        assert headers.get("gatewayresponse.header.X-Trace-Id") == "context.requestId", (
            f"{kind}: every answer carries X-Trace-Id, from the gateway it is context.requestId"
        )
