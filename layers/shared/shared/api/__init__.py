"""The HTTP edge: who calls, what they may do, how lists page. The only place that knows API Gateway."""

from shared.api.answers import accepted, created, empty, expected_version, listed, next_page, replaced
from shared.api.caller import Caller, Visitor, allowed, check, public
from shared.api.edge import edge
from shared.api.paging import IfMatch, Paging

__all__ = [
    "Caller",
    "IfMatch",
    "Paging",
    "Visitor",
    "accepted",
    "allowed",
    "check",
    "created",
    "edge",
    "empty",
    "expected_version",
    "listed",
    "next_page",
    "public",
    "replaced",
]
