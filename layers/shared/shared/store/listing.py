"""Lists that keep only some of a partition's items, at a cost with an end."""

from collections.abc import Callable

from shared.store.table import Item, Page

MAX_READ = 1_000
"""Items that one request looks at; a page that finds less than it was asked for goes on with the next cursor."""

_FIRST = 200


def filtered(
    fetch: Callable[[int, str | None], Page], keep: Callable[[Item], bool], limit: int, after: str | None
) -> Page:
    """At most `limit` of the items that are to be kept; 1 request for the first 200, 1 more for the rest.

    Args:
        fetch: gives so many items behind a sort key.
        after: go on behind this sort key.

    Returns:
        A page that may hold less than `limit`, even nothing, and still have a next one.
    """
    kept: list[Item] = []
    looked_at = 0
    while True:
        page = fetch(_FIRST if looked_at == 0 else MAX_READ - looked_at, after)
        for item in page.items:
            looked_at += 1
            if keep(item):
                kept.append(item)
                if len(kept) == limit:
                    more = item is not page.items[-1] or page.next_after is not None
                    return Page(kept, item.sort if more else None)
        after = page.next_after
        if after is None or looked_at >= MAX_READ:
            return Page(kept, after)
