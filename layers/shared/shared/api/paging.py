"""The paging forms of the five documents, on one cursor.

A cursor costs the same on every page. `page`/`page_size`, `offset`/`limit` and `skip`/`limit` read what they skip, so
they end at 10,000.
"""

from collections.abc import Callable
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Header, Query
from pydantic import Field

from shared.domain.fields import Inner
from shared.errors import Unprocessable
from shared.store import cursor
from shared.store.table import Item, Page

MAX_OFFSET = 10_000
DEFAULT_LIMIT = 50
# A filtered page looks at up to 1,000 items; so these end at 10,000 too.
_MOST_ROUNDS = 10

IfMatch = Annotated[str | None, Header(alias="If-Match", description="Change only this version, else 409.")]

Prefer = Annotated[str | None, Header(alias="Prefer", description="`respond-async`: answer 202 at once.")]


class PagingQuery(Inner):
    """Which part of a list."""

    cursor: Annotated[str | None, Field(description="Go on behind the page whose X-Next-Cursor this is.")] = None
    limit: Annotated[int | None, Field(ge=1, le=100, description="Items on a page; 50 if left out.")] = None
    offset: Annotated[int | None, Field(ge=0, le=MAX_OFFSET, description="Items to skip.")] = None
    skip: Annotated[int | None, Field(ge=0, le=MAX_OFFSET, description="The same as offset.")] = None
    page: Annotated[int | None, Field(ge=1, le=MAX_OFFSET, description="Page from 1, with page_size.")] = None
    page_size: Annotated[int | None, Field(ge=1, le=100, description="Items on a page; 10 if left out.")] = None

    @property
    def counts(self) -> bool:
        """Whether the page is named by the number of items before it."""
        counted = (self.offset, self.skip, self.page, self.page_size)
        return self.cursor is None and any(number is not None for number in counted)


Paging = Annotated[PagingQuery, Query()]


def window(paging: PagingQuery) -> tuple[int, int, str | None]:
    """Items to skip, items to give, sort key to start behind.

    Raises:
        BadRequest: the cursor is not one of ours.
        Unprocessable: the page begins beyond 10,000 items.
    """
    if paging.cursor is not None:
        return 0, paging.limit or DEFAULT_LIMIT, cursor.decode(paging.cursor)
    if paging.page is not None or paging.page_size is not None:
        limit = paging.page_size or 10
        offset = ((paging.page or 1) - 1) * limit
    else:
        # Document 2 pages by skip and gives 100 at a time, document 1 by offset and gives 50.
        limit = paging.limit or (DEFAULT_LIMIT if paging.skip is None else 100)
        offset = paging.offset if paging.offset is not None else paging.skip or 0
    if offset > MAX_OFFSET:
        raise _beyond()
    return offset, limit, None


def filled(paging: PagingQuery, fetch: Callable[[int, str | None], Page], wanted: int, after: str | None) -> Page:
    """So many items behind a sort key, fewer only at the end of the list.

    By cursor a filtered list may give short pages. Who counts would take what such a page lacks for passed.

    Raises:
        Unprocessable: the filter leaves too little of what lies before the page.
    """
    page, rounds = fetch(wanted, after), 1
    while paging.counts and len(page.items) < wanted and page.next_after is not None:
        if rounds == _MOST_ROUNDS:
            raise _beyond()
        more = fetch(wanted - len(page.items), page.next_after)
        page, rounds = Page([*page.items, *more.items], more.next_after), rounds + 1
    return page


def cut(page: Page, offset: int) -> tuple[list[Item], str | None]:
    """The items of a page behind the offset, and the cursor of the next page."""
    following = cursor.encode(page.next_after) if page.next_after is not None else None
    return page.items[offset:], following


def _beyond() -> Unprocessable:
    return Unprocessable(
        f"Offsets end at {MAX_OFFSET}; go on by cursor.",
        errors=[{"loc": ["query", "page"], "msg": f"begins beyond {MAX_OFFSET}", "type": "offset_too_large"}],
    )
