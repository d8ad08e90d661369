"""What passes through the gateway: requests as Lambda proxy events, and answers made from what Lambda returns."""

import base64
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, unquote

from local.emulator import ACCOUNT, REGION
from local.routing import without_base_path
from local.stack import Api, GatewayResponse, Route

# Used where the template says nothing: status and message of the gateway's own answers.
_DEFAULTS = {
    "ACCESS_DENIED": (403, "User is not authorized to access this resource"),
    "AUTHORIZER_FAILURE": (500, "Internal server error"),
    "INVALID_API_KEY": (403, "Forbidden"),
    "INTEGRATION_FAILURE": (502, "Internal server error"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "THROTTLED": (429, "Too Many Requests"),
    "UNAUTHORIZED": (401, "Unauthorized"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Unsupported Media Type"),
}


@dataclass(frozen=True)
class Request:
    """One HTTP request, its body read."""

    method: str
    raw_path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def path(self) -> str:
        """The path inside the API, still percent-encoded."""
        return without_base_path(self.raw_path)


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class MalformedAnswerError(Exception):
    """The function returned something that is no proxy answer."""


def event_of(
    request: Request, route: Route, parameters: Mapping[str, str], api: Api, caller: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The event of a Lambda proxy integration, without its body."""
    headers = _grouped(request.headers)
    last_headers = _last(headers)
    query = _grouped(parse_qsl(request.query, keep_blank_values=True))
    now = datetime.now(UTC)
    return {
        "resource": route.path,
        "path": unquote(request.path),
        "httpMethod": request.method,
        "headers": last_headers,
        "multiValueHeaders": headers,
        "queryStringParameters": _last(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(parameters) or None,
        "stageVariables": None,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": api.api_id,
            "authorizer": caller,
            "domainName": last_headers.get("host", "localhost"),
            "extendedRequestId": request.request_id,
            "httpMethod": request.method,
            "identity": {
                "sourceIp": request.source_ip,
                "userAgent": last_headers.get("user-agent"),
            },
            "path": request.raw_path,
            "protocol": "HTTP/1.1",
            "requestId": request.request_id,
            "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "requestTimeEpoch": int(time.time() * 1000),
            "resourceId": "local",
            "resourcePath": route.path,
            "stage": api.stage,
        },
    }


def with_body(event: dict[str, Any], request: Request, api: Api) -> dict[str, Any]:
    """The event with the request's body: text, or base64 where the API declares its type as binary."""
    content_type = (event["headers"].get("content-type") or "").partition(";")[0].strip()
    if request.body and _is_binary(content_type, api):
        return event | {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}
    return event | {"body": request.body.decode(errors="replace") or None, "isBase64Encoded": False}


def authorizer_event(event: Mapping[str, Any], method_arn: str) -> dict[str, Any]:
    """What a REQUEST authorizer gets."""
    return {"type": "REQUEST", "methodArn": method_arn, **event}


def method_arn(request: Request, api: Api) -> str:
    """The name of a method in policies."""
    path = unquote(request.path).strip("/")
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api.api_id}/{api.stage}/{request.method}/{path}"


def allows(policy: Mapping[str, Any], arn: str) -> bool:
    """Whether an authorizer's policy lets the method be called; a Deny wins, silence denies."""
    verdicts = {
        statement["Effect"]
        for statement in policy.get("Statement", ())
        if any(fnmatchcase(arn, pattern) for pattern in _as_list(statement.get("Resource", ())))
    }
    return verdicts == {"Allow"}


def reply_of(payload: bytes, api: Api) -> Reply:
    """The HTTP answer in a function's result."""
    try:
        result = json.loads(payload)
        status = int(result["statusCode"])
        body = result.get("body") or ""
        headers = {name: [as_text(value)] for name, value in (result.get("headers") or {}).items()}
        for name, values in (result.get("multiValueHeaders") or {}).items():
            headers[name] = [as_text(value) for value in values]
        # API Gateway hands base64 on as it is, unless the API declares binary types.
        content = base64.b64decode(body) if result.get("isBase64Encoded") and api.binary_types else body.encode()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedAnswerError(str(error)) from error
    pairs = tuple((name, value) for name, values in headers.items() for value in values)
    if content and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs += (("Content-Type", "application/json"),)
    return Reply(status, pairs, content)


def gateway_reply(kind: str, request: Request, api: Api) -> Reply:
    """An answer of the gateway itself, worded by the template."""
    status, message = _DEFAULTS[kind]
    fallback = api.responses.get("DEFAULT_4XX" if status < 500 else "DEFAULT_5XX")
    wording = api.responses.get(kind) or fallback or GatewayResponse(None, None, {})
    values = {
        "context.error.messageString": json.dumps(message),
        "context.error.message": message,
        "context.error.responseType": kind,
        "context.extendedRequestId": request.request_id,
        "context.identity.sourceIp": request.source_ip,
        "context.requestId": request.request_id,
    }
    text = wording.template or '{"message":$context.error.messageString}'
    for name, value in values.items():
        text = text.replace(f"${name}", value)
    headers = tuple(
        # A quoted value is a literal, any other the name of a variable.
        (name, value.strip("'") if value.startswith("'") else values.get(value, ""))
        for name, value in wording.headers.items()
    )
    return Reply(wording.status or status, (("Content-Type", "application/json"), *headers), text.encode())


def _grouped(pairs: Any) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def _last(groups: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: values[-1] for name, values in groups.items()}


def _is_binary(content_type: str, api: Api) -> bool:
    return any(fnmatchcase(content_type, kind.replace("~1", "/")) for kind in api.binary_types)


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def as_text(value: Any) -> str:
    """A value of a header or an authorizer's context, which API Gateway carries as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
