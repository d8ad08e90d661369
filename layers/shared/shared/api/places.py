"""Where the API was asked: its address as the client sees it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import Request

MOUNT = "/api/v1"
"""The base path under which every route answers as well."""


def base_path(request: Request) -> str:
    """What stands before the route in the client's path: nothing, the stage, or the base path of a domain."""
    return base_path_of(request.resolved_event.raw_event)


def base_path_of(event: Mapping[str, Any]) -> str:
    """The same, of an event. Only its `requestContext.path` is what the client asked for, and it may be encoded."""
    route: str = event["resource"]
    for name, value in (event.get("pathParameters") or {}).items():
        route = route.replace(f"{{{name}}}", value)
    path, route = unquote(str((event.get("requestContext") or {}).get("path") or "")).rstrip("/"), unquote(route)
    return path.removesuffix(route) if path.endswith(route) else ""


def placed(headers: dict[str, list[str]], base: str) -> dict[str, list[str]]:
    """The headers of an answer, their paths as the client sees them: `Location`, and `Link` to the next page."""
    begins = {"Location": "/", "Link": "</"}
    return headers | {
        name: [
            value.replace("/", f"{base}/", 1) if value.startswith(begins[name]) else value for value in headers[name]
        ]
        for name in begins.keys() & headers.keys()
    }


def address(request: Request) -> str:
    """Scheme, host and base path, such as ``https://api.example.com/api/v1``."""
    context = request.resolved_event.raw_event.get("requestContext") or {}
    forwarded = request.resolved_event.headers.get("x-forwarded-proto")
    # API Gateway says so with every request; who says nothing is the local gateway.
    scheme = "https" if forwarded == "https" else "http"
    return f"{scheme}://{context.get('domainName') or 'localhost'}{base_path(request)}"
