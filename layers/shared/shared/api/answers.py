"""Answers that are more than a body: 201 with its place, lists with their next page, 204."""

import re
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Request, Response, content_types

from shared.api.paging import PagingQuery, cut, filled, window
from shared.domain.run_records import Run
from shared.errors import BadRequest
from shared.store.table import Item, Page

T = TypeVar("T")

IF_MATCH = re.compile(r'^(?:\*|(?:W/)?"?([0-9]{1,9})"?)$')
"""A version, bare or as an entity tag, or `*` for any."""


def created(body: T, location: str, *, secret: bool = False) -> Response[T]:
    """201.

    Args:
        location: path of the new thing.
        secret: the body is shown once: no cache, and no idempotency record, may keep it.
    """
    headers = {"Location": location} | ({"Cache-Control": "no-store"} if secret else {})
    return Response(status_code=201, content_type=content_types.APPLICATION_JSON, body=body, headers=dict(headers))


def replaced(body: T) -> Response[T]:
    """200, where the route's usual answer is 201."""
    return Response(status_code=200, content_type=content_types.APPLICATION_JSON, body=body)


def shown_once(body: T) -> Response[T]:
    """200 with something secret: no cache, and no idempotency record, may keep it."""
    headers: dict[str, str | list[str]] = {"Cache-Control": "no-store"}
    return Response(status_code=200, content_type=content_types.APPLICATION_JSON, body=body, headers=headers)


def accepted(body: T, location: str) -> Response[T]:
    """202: it goes on; `location` is where to look."""
    headers: dict[str, str | list[str]] = {"Location": location}
    return Response(status_code=202, content_type=content_types.APPLICATION_JSON, body=body, headers=headers)


def started(run: Run, prefer: str | None = None) -> Response[Run]:
    """The answer to whoever starts a run: 201 if it has ended, 202 if it goes on or waits for its turn."""
    location = f"/runs/{run.id}"
    if not wants_no_wait(prefer):
        return created(run, location) if run.ended else accepted(run, location)
    answer = accepted(run, location)
    answer.headers["Preference-Applied"] = "respond-async"
    return answer


def wants_no_wait(prefer: str | None) -> bool:
    """Whether a `Prefer` header asks for an answer at once (RFC 7240, section 4.1)."""
    wishes = (prefer or "").lower().split(",")
    return any(wish.partition(";")[0].strip() == "respond-async" for wish in wishes)


def redirected(address: str) -> Response[None]:
    """302 to an address that is good for a moment: no cache may keep it."""
    headers: dict[str, str | list[str]] = {"Location": address, "Cache-Control": "no-store"}
    return Response(status_code=302, headers=headers)


def empty() -> Response[None]:
    """204."""
    return Response(status_code=204)


def listed(
    request: Request,
    paging: PagingQuery,
    fetch: Callable[[int, str | None], Page],
    read: Callable[[Item], T],
) -> Response[list[T]]:
    """A page of a list as a bare array, with `Link` and `X-Next-Cursor` if there is more.

    Args:
        fetch: gives so many items behind a sort key. read: makes an item what the API shows.
    """
    offset, limit, after = window(paging)
    items, following = cut(filled(paging, fetch, offset + limit, after), offset)
    headers: dict[str, str | list[str]] = {}
    if following is not None:
        headers = next_page(request, {"limit": str(limit), "cursor": following}) | {"X-Next-Cursor": following}
    body = [read(item) for item in items]
    return Response(status_code=200, content_type=content_types.APPLICATION_JSON, body=body, headers=headers)


def next_page(request: Request, changed: dict[str, str]) -> dict[str, str | list[str]]:
    """The `Link` header that leads to the next page: the request's own query with the paging changed."""
    kept = {
        name: value
        for name, value in (request.query_parameters or {}).items()
        if name not in {"cursor", "limit", "offset", "skip", "page", "page_size", *changed}
    }
    path = request.resolved_event.path
    return {"Link": f'<{path}?{urlencode(kept | changed)}>; rel="next"'}


def expected_version(if_match: str | None) -> int | None:
    """The version in an `If-Match` header: `3` or `"3"`. `*` and no header mean any.

    Raises:
        BadRequest: it holds something else.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    found = IF_MATCH.fullmatch(if_match.strip())
    if found is None:
        raise BadRequest("If-Match must be a version, such as 3.", code="invalid_if_match")
    return int(found[1])
