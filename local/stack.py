"""What the deployed template says, as plain data: functions, routes, authorizer, gateway responses."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.errors import LocalError
from local.permissions import Role

# How a definition names the methods of a path; the last is for all that are not named.
_METHODS = {name: name.upper() for name in ("get", "put", "post", "delete", "options", "head", "patch")} | {
    "x-amazon-apigateway-any-method": "ANY"
}
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
    role: Role


@dataclass(frozen=True)
class Authorizer:
    """A REQUEST authorizer; ``identity`` names where the identity must stand, in API Gateway's words."""

    function: str
    cache_seconds: int
    identity: tuple[str, ...]


@dataclass(frozen=True)
class Mock:
    """An integration without a function: mapping templates of the request and the answer, by content type.

    Attributes:
        answers: pattern of the status that the request's template gives, status and templates of the answer.
    """

    requests: Mapping[str, str]
    answers: tuple[tuple[str, int, Mapping[str, str]], ...]


@dataclass(frozen=True)
class Route:
    """A method of a path, and the function or the mock that answers it. ``ANY`` stands for all methods not named."""

    method: str
    path: str
    target: str | Mock
    authorizer: Authorizer | None
    streamed: bool
    needs_key: bool = False


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


def read_api(processed: Mapping[str, Any], resources: Mapping[str, str], parameters: Mapping[str, str]) -> Api | None:
    """The REST API of a template that the emulator has expanded; ``parameters`` are the values given to it."""
    defaults = {name: str(said.get("Default", "")) for name, said in processed.get("Parameters", {}).items()}
    for logical_id, resource in _of_type(processed, "AWS::ApiGateway::RestApi"):
        body = resource["Properties"]["Body"]
        stages = [stage["Properties"].get("StageName") for _, stage in _of_type(processed, "AWS::ApiGateway::Stage")]
        return Api(
            api_id=resources[logical_id],
            stage=stages[0] if stages and isinstance(stages[0], str) else "live",
            routes=tuple(_routes(body, {**defaults, **parameters})),
            responses={
                kind: _gateway_response(response)
                for kind, response in body.get("x-amazon-apigateway-gateway-responses", {}).items()
            },
            binary_types=tuple(body.get("x-amazon-apigateway-binary-media-types", ())),
        )
    return None


def _routes(body: Mapping[str, Any], parameters: Mapping[str, str]) -> Iterator[Route]:
    schemes = body.get("components", {}).get("securitySchemes") or body.get("securityDefinitions") or {}
    for path, methods in body["paths"].items():
        for name in _METHODS.keys() & methods.keys():
            operation = methods[name]
            integration = operation["x-amazon-apigateway-integration"]
            kind = integration["type"].lower()
            if kind not in ("aws_proxy", "mock"):
                raise LocalError(f"{name} {path}: the local gateway knows Lambda proxies and mocks only, not {kind}")
            needed = [scheme for entry in operation.get("security", ()) for scheme in entry if scheme in schemes]
            yield Route(
                method=_METHODS[name],
                path=path,
                target=_mock(integration, parameters) if kind == "mock" else _function_of(integration["uri"]),
                authorizer=next(filter(None, (_authorizer(schemes[scheme]) for scheme in needed)), None),
                streamed=integration.get("responseTransferMode") == "STREAM",
                needs_key=any("x-amazon-apigateway-authorizer" not in schemes[scheme] for scheme in needed),
            )


def _mock(integration: Mapping[str, Any], parameters: Mapping[str, str]) -> Mock:
    def texts(templates: Mapping[str, Any]) -> dict[str, str]:
        return {kind: _text(template, parameters) for kind, template in templates.items()}

    return Mock(
        requests=texts(integration.get("requestTemplates", {})),
        answers=tuple(
            (pattern, int(answer["statusCode"]), texts(answer.get("responseTemplates", {})))
            for pattern, answer in integration["responses"].items()
        ),
    )


def _text(value: Any, parameters: Mapping[str, str]) -> str:
    """A text, in which ``Fn::Sub`` may have left the names of parameters."""
    if isinstance(value, str):
        return value
    return re.sub(r"\$\{(\w+)\}", lambda found: parameters[found[1]], value["Fn::Sub"])


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
