"""The gateway's definition from the function files: api.json, and the role by which the gateway calls the functions.

API Gateway takes from api.json, which the template includes, the paths with their methods, the authorizer, and its own
answers. A route is what a function file declares, and nothing else: docs/decisions/0013-the-gateways-definition.md.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from local.operations import FUNCTIONS, ROOT, Operation, logical_id, operations

DEFINITION = ROOT / "api.json"
TEMPLATE = ROOT / "template.yaml"

Json = dict[str, Any]

_AUTHORIZER = logical_id(FUNCTIONS / "authorizer" / "authorize.py")
_ROLE = {"Fn::GetAtt": ["ApiRole", "Arn"]}
_FUNCTION = "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{}.Arn}}"
_ALIAS = "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2015-03-31/functions/${{{}.Alias}}"
_STREAMED = "arn:${{AWS::Partition}}:apigateway:${{AWS::Region}}:lambda:path/2021-11-15/functions/${{{}.Arn}}"

ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Last-Event-ID",
    "Prefer",
    "X-API-Key",
    "X-Trace-Id",
)
_MAX_AGE_SECONDS = 600
# The longest that a streamed answer may take (Amazon API Gateway quotas).
_STREAM_SECONDS = 900

# What clients send that have mistaken the method; a mock answers 415 to any other type.
_MOCK_TAKES = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")

# The origin is echoed if it is one of the list; HTTP/2 clients send the header's name in lower case.
_ECHO_ORIGIN = (
    '#set($listed = false)#set($allowed = ",${CorsOrigins},")'
    '#set($origin = $input.params("Origin"))'
    '#if($origin == "")#set($origin = $input.params("origin"))#end'
    '#if($origin == "" || $origin.contains(","))'
    '#elseif($allowed.contains(",$origin,"))#set($listed = true)#end'
    "#if($listed)#set($context.responseOverride.header.Access-Control-Allow-Origin = $origin)#end"
)

# The gateway's own answers: status, detail (as it stands in JSON), code, more headers.
_ANSWERS: dict[str, tuple[int | None, str, str, Json]] = {
    "UNAUTHORIZED": (401, '"A valid X-API-Key or Authorization: Bearer header is required."', "unauthorized", {}),
    "ACCESS_DENIED": (403, '"This caller may not do that."', "forbidden", {}),
    "MISSING_AUTHENTICATION_TOKEN": (404, '"No such route."', "not_found", {}),
    "REQUEST_TOO_LARGE": (413, '"The request body is too large."', "payload_too_large", {}),
    "UNSUPPORTED_MEDIA_TYPE": (415, '"The body must be application/json."', "unsupported_content_type", {}),
    "INVALID_API_KEY": (503, '"The platform is busy; try again."', "unavailable", {"Retry-After": "'1'"}),
    "THROTTLED": (429, '"Too many requests."', "rate_limited", {"Retry-After": "'1'"}),
    "INTEGRATION_TIMEOUT": (504, '"The platform did not answer in time."', "timeout", {}),
    "DEFAULT_4XX": (None, "$context.error.messageString", "bad_request", {}),
    "DEFAULT_5XX": (None, '"The platform failed to answer; try again."', "internal_error", {}),
}

_BEGIN = "  # Generated from the handlers by python -m local.openapi, down to END.\n"
_END = "  # END\n"
# An ARN has at most 124 characters, a managed policy 6,144.
_FUNCTIONS_A_POLICY = 45


class DefinitionError(Exception):
    """The function files cannot be served by one API."""


def generate() -> str:
    """The text of api.json.

    Raises:
        DefinitionError: two functions declare the same route.
    """
    paths: dict[str, dict[str, Operation]] = {}
    for operation in operations():
        methods = paths.setdefault(operation.path, {})
        if operation.method in methods:
            raise DefinitionError(f"{operation.method} {operation.path} is declared twice.")
        methods[operation.method] = operation
    document = {
        "openapi": "3.0.1",
        # What the API is called; by this CloudWatch tells those of an account apart.
        "info": {"title": {"Ref": "AWS::StackName"}, "version": "1"},
        "paths": {path: _path(methods) for path, methods in sorted(paths.items())},
        "components": {"securitySchemes": _security_schemes()},
        "x-amazon-apigateway-api-key-source": "AUTHORIZER",
        # Files: their bytes come in base64, which text would not survive.
        "x-amazon-apigateway-binary-media-types": ["multipart/form-data"],
        "x-amazon-apigateway-gateway-responses": {kind: _gateway_answer(*said) for kind, said in _ANSWERS.items()},
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _path(methods: dict[str, Operation]) -> Json:
    allow = ", ".join(sorted([*methods, "OPTIONS"]))
    return {
        **{method.lower(): _method(operation) for method, operation in methods.items()},
        "options": _preflight(allow),
        "x-amazon-apigateway-any-method": _wrong_method(allow),
    }


def _method(operation: Operation) -> Json:
    """A Lambda integration. Whoever calls must have passed the authorizer, unless the route is public."""
    return {
        "responses": {},
        "security": [] if operation.scope == "" else [{"KeyAuthorizer": [], "UsagePlanKey": []}],
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy",
            "httpMethod": "POST",
            "credentials": _ROLE,
            **(_streaming(operation) if operation.streamed else _whole(operation)),
        },
    }


def _whole(operation: Operation) -> Json:
    return {"uri": {"Fn::Sub": _FUNCTION.format(operation.function) + "/invocations"}}


def _streaming(operation: Operation) -> Json:
    """The gateway hands the answer on as it comes."""
    return {
        "uri": {"Fn::Sub": _STREAMED.format(operation.function) + "/response-streaming-invocations"},
        "responseTransferMode": "STREAM",
        "timeoutInMillis": _STREAM_SECONDS * 1000,
    }


def _preflight(allow: str) -> Json:
    """The answer to OPTIONS: what a page of a listed origin may send to the path. No key: browsers send none."""
    headers = {
        "Access-Control-Allow-Methods": allow,
        "Access-Control-Allow-Headers": ", ".join(ALLOWED_HEADERS),
        "Access-Control-Max-Age": str(_MAX_AGE_SECONDS),
    }
    return _mock(204, {"Allow": allow, "Vary": "Origin"}, "", headers)


def _wrong_method(allow: str) -> Json:
    """405, where API Gateway would say that there is no such route."""
    body = {
        "detail": "The path does not take this method.",
        "code": "method_not_allowed",
        "trace_id": "$context.requestId",
    }
    headers = {"Allow": allow, "Vary": "Origin", "X-Trace-Id": "$context.requestId"}
    return _mock(405, headers, json.dumps(body), {"Access-Control-Expose-Headers": "Allow, X-Trace-Id"})


def _mock(status: int, headers: dict[str, str], body: str, cors: dict[str, str]) -> Json:
    """An answer without a function; ``cors`` are the headers that only listed origins get."""
    request = json.dumps({"statusCode": status})
    template = f"{_ECHO_ORIGIN}{_set(headers)}#if($listed){_set(cors)}#end{body}"
    return {
        "responses": {str(status): {"description": "Answered by the gateway."}},
        "security": [],
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "passthroughBehavior": "never",
            "requestTemplates": dict.fromkeys(_MOCK_TAKES, request),
            "responses": {
                "default": {
                    "statusCode": str(status),
                    "responseTemplates": {"application/json": {"Fn::Sub": template}},
                }
            },
        },
    }


def _set(headers: dict[str, str]) -> str:
    return "".join(f'#set($context.responseOverride.header.{name} = "{value}")' for name, value in headers.items())


def _security_schemes() -> Json:
    return {
        "KeyAuthorizer": {
            "type": "apiKey",
            "in": "header",
            # Whatever stands here is not read: the authorizer gets the whole request.
            "name": "Unused",
            "x-amazon-apigateway-authtype": "custom",
            "x-amazon-apigateway-authorizer": {
                "type": "request",
                # No cache at the gateway: with two credential headers it would ask for both. The authorizer
                # remembers keys itself (docs/decisions/0003-authorizer-cache.md).
                "authorizerResultTtlInSeconds": 0,
                "authorizerUri": {"Fn::Sub": _ALIAS.format(_AUTHORIZER) + "/invocations"},
                "authorizerCredentials": _ROLE,
            },
        },
        # The key by which usage plans count; it is the authorizer that names it, whatever a client sends.
        "UsagePlanKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }


def _gateway_answer(status: int | None, detail: str, code: str, headers: Json) -> Json:
    # Any page may read these: they hold nothing private, and no cookie gives a page what its user may see.
    given = {
        "Access-Control-Allow-Origin": "'*'",
        "Access-Control-Expose-Headers": f"'{', '.join(sorted(['X-Trace-Id', *headers]))}'",
        "X-Trace-Id": "context.requestId",
        **headers,
    }
    answer: Json = {
        "responseParameters": {f"gatewayresponse.header.{name}": value for name, value in given.items()},
        "responseTemplates": {
            "application/json": f'{{"detail": {detail}, "code": "{code}", "trace_id": "$context.requestId"}}'
        },
    }
    return answer | ({"statusCode": str(status)} if status else {})


def with_role(template: str) -> str:
    """The template's text with its generated part brought up to date.

    Raises:
        DefinitionError: the lines around that part are missing.
    """
    pattern = re.escape(_BEGIN) + ".*?" + re.escape(_END)
    text, found = re.subn(pattern, lambda _: _BEGIN + _role() + _END, template, flags=re.DOTALL)
    if found != 1:
        raise DefinitionError(f"template.yaml needs once the lines\n{_BEGIN}{_END}")
    return text


def _role() -> str:
    """One role for all functions: a permission on each would take a resource a route."""
    called = sorted({_AUTHORIZER, *(operation.function for operation in operations())})
    policies = {f"ApiCalls{number}": names for number, names in enumerate(_batches(called), 1)}
    lines = [
        "  ApiRole:",
        "    Type: AWS::IAM::Role",
        "    Properties:",
        "      AssumeRolePolicyDocument:",
        '        Version: "2012-10-17"',
        "        Statement:",
        "          - { Effect: Allow, Action: sts:AssumeRole, Principal: { Service: apigateway.amazonaws.com } }",
        f"      ManagedPolicyArns: [{', '.join(f'!Ref {name}' for name in policies)}]",
        "",
    ]
    for name, functions in policies.items():
        lines += [
            f"  {name}:",
            "    Type: AWS::IAM::ManagedPolicy",
            "    Properties:",
            "      PolicyDocument:",
            '        Version: "2012-10-17"',
            "        Statement:",
            "          - Effect: Allow",
            "            Action: [lambda:InvokeFunction]",
            "            Resource:",
            *(
                # Calls of an alias are allowed by its name, not by the function's.
                f"              - {f'!Ref {function}.Alias' if function == _AUTHORIZER else f'!GetAtt {function}.Arn'}"
                for function in functions
            ),
            "",
        ]
    return "\n".join(lines)


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    left = list(names)
    while left:
        yield left[:_FUNCTIONS_A_POLICY]
        left = left[_FUNCTIONS_A_POLICY:]


def drift() -> str | None:
    """What is wrong with the committed definition, in one line; `None` if it is as it should be."""
    committed = DEFINITION.read_text() if DEFINITION.exists() else ""
    template = TEMPLATE.read_text()
    if (committed, template) == (generate(), with_role(template)):
        return None
    return f"{DEFINITION.name} or template.yaml drifts from the function files: run 'make openapi' and commit it."


def write() -> None:
    """Bring api.json and the template's generated part up to date.

    Raises:
        DefinitionError: see `generate` and `with_role`.
    """
    DEFINITION.write_text(generate())
    TEMPLATE.write_text(with_role(TEMPLATE.read_text()))
