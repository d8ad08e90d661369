"""The HTTP edge: who calls, what they may do, how lists page. The only place that knows API Gateway.

What a function needs of Powertools it takes from here, so that it comes when the start knows how (shared.cold_start).
"""

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Query

from shared.api.answers import (
    accepted,
    created,
    empty,
    expected_version,
    listed,
    next_page,
    redirected,
    replaced,
    shown_once,
    started,
    wants_no_wait,
)
from shared.api.basic import BasicClient, XApiKey, basic_client
from shared.api.caller import Caller, Visitor, allowed, authenticated, check, public
from shared.api.edge import edge
from shared.api.paging import IfMatch, Paging, Prefer
from shared.api.places import MOUNT, address, base_path

__all__ = [
    "MOUNT",
    "APIGatewayRestResolver",
    "BasicClient",
    "Caller",
    "Header",
    "IfMatch",
    "Paging",
    "Prefer",
    "Query",
    "Request",
    "Response",
    "Visitor",
    "XApiKey",
    "accepted",
    "address",
    "allowed",
    "authenticated",
    "base_path",
    "basic_client",
    "check",
    "created",
    "edge",
    "empty",
    "expected_version",
    "listed",
    "next_page",
    "public",
    "redirected",
    "replaced",
    "shown_once",
    "started",
    "wants_no_wait",
]
