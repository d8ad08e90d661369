"""What the deployed template says, as plain data: functions, routes, authorizer, gateway responses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.errors import LocalError

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch")
_FUNCTION_IN_URI = re.compile(r"\$\{(\w+)(?:\.Arn|Arn)?\}/(?:invocations|response-streaming-invocations)")


@dataclass(frozen=True)
class Function:
    """One Lambda function."""

    logical_id: str
    name: str
    source: Path
    handler: str
    timeout: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Authorizer:
    """A REQUEST authorizer; ``identity`` names where the identity must stand, in API Gateway's words."""

    function: str
    cache_seconds: int
    identity: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """A method of a path, and the function that answers it."""

    method: str
    path: str
    function: str
    authorizer: Authorizer | None
    streamed: bool


@dataclass(frozen=True)
class GatewayResponse:
    """How the gateway words an answer of its own."""

    status: int | None
    template: str | None
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Api:
    """The REST API."""

    api_id: str
    stage: str
    routes: tuple[Route, ...]
    responses: Mapping[str, GatewayResponse]
    binary_types: tuple[str, ...]


@dataclass(frozen=True)
class Stack:
    """Everything the runtime needs to know about a deployed template."""

    name: str
    functions: Mapping[str, Function]
    machines: Mapping[str, str]
    api: Api | None
    resources: Mapping[str, str] = field(default_factory=dict)


def read_api(processed: Mapping[str, Any], resources: Mapping[str, str]) -> Api | None:
    """The REST API of a template that the emulator has expanded."""
    for logical_id, resource in _of_type(processed, "AWS::ApiGateway::RestApi"):
        body = resource["Properties"]["Body"]
        stages = [stage["Properties"].get("StageName") for _, stage in _of_type(processed, "AWS::ApiGateway::Stage")]
        return Api(
            api_id=resources[logical_id],
            stage=stages[0] if stages and isinstance(stages[0], str) else "live",
            routes=tuple(_routes(body)),
            responses={
                kind: _gateway_response(response)
                for kind, response in body.get("x-amazon-apigateway-gateway-responses", {}).items()
            },
            binary_types=tuple(body.get("x-amazon-apigateway-binary-media-types", ())),
        )
    return None


def _routes(body: Mapping[str, Any]) -> Iterator[Route]:
    schemes = body.get("components", {}).get("securitySchemes") or body.get("securityDefinitions") or {}
    for path, methods in body["paths"].items():
        for method in _METHODS:
            if method not in methods:
                continue
            operation = methods[method]
            integration = operation["x-amazon-apigateway-integration"]
            if integration["type"].lower() != "aws_proxy":
                raise LocalError(f"{method.upper()} {path}: the local gateway knows Lambda proxy integrations only")
            needed = [name for entry in operation.get("security", ()) for name in entry if name in schemes]
            yield Route(
                method=method.upper(),
                path=path,
                function=_function_of(integration["uri"]),
                authorizer=_authorizer(schemes[needed[0]]) if needed else None,
                streamed=integration.get("responseTransferMode") == "STREAM",
            )


def _authorizer(scheme: Mapping[str, Any]) -> Authorizer | None:
    authorizer = scheme.get("x-amazon-apigateway-authorizer")
    if authorizer is None:
        return None
    sources = authorizer.get("identitySource") or ""
    return Authorizer(
        function=_function_of(authorizer["authorizerUri"]),
        cache_seconds=int(authorizer.get("authorizerResultTtlInSeconds", 300)),
        identity=tuple(source.strip() for source in sources.split(",") if source.strip()),
    )


def _function_of(uri: Any) -> str:
    """The logical id of the function in an integration's address, which SAM writes as Fn::Sub."""
    sub = uri["Fn::Sub"]
    text, variables = (sub, {}) if isinstance(sub, str) else sub
    match = _FUNCTION_IN_URI.search(text)
    if match is None:
        raise LocalError(f"no function in the integration {text!r}")
    value = variables.get(match[1]) or variables.get(match[1] + "Arn")
    if isinstance(value, Mapping) and "Fn::GetAtt" in value:
        return str(value["Fn::GetAtt"][0])
    return match[1]


def _gateway_response(response: Mapping[str, Any]) -> GatewayResponse:
    prefix = "gatewayresponse.header."
    status = response.get("statusCode")
    return GatewayResponse(
        status=int(status) if status else None,
        template=response.get("responseTemplates", {}).get("application/json"),
        headers={
            name.removeprefix(prefix): str(value)
            for name, value in response.get("responseParameters", {}).items()
            if name.startswith(prefix)
        },
    )


def _of_type(template: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == kind:
            yield logical_id, resource
