"""Where the API was asked: its address as the client sees it."""

from aws_lambda_powertools.event_handler import Request

MOUNT = "/api/v1"
"""The base path under which every route answers as well."""


def base_path(request: Request) -> str:
    """What stands before the route in the client's path: nothing, the stage, or the base path of a domain."""
    event = request.resolved_event.raw_event
    path = str((event.get("requestContext") or {}).get("path") or "")
    return path.removesuffix(event["resource"]) if path.endswith(event["resource"]) else ""


def address(request: Request) -> str:
    """Scheme, host and base path, such as ``https://api.example.com/api/v1``."""
    context = request.resolved_event.raw_event.get("requestContext") or {}
    forwarded = request.resolved_event.headers.get("x-forwarded-proto")
    # API Gateway says so with every request; who says nothing is the local gateway.
    scheme = "https" if forwarded == "https" else "http"
    return f"{scheme}://{context.get('domainName') or 'localhost'}{base_path(request)}"
