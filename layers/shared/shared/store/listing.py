"""Lists that keep only some of a partition's items, at a cost with an end."""

import heapq
from collections.abc import Callable, Sequence
from typing import Any, get_args

from shared.store.keys import Index, Key
from shared.store.table import Item, Page, TenantStore

MAX_READ = 1_000
"""Items that one request looks at; a page that finds less than it was asked for goes on with the next cursor."""

_SOME = 200


def filtered(
    fetch: Callable[[int, str | None], Page],
    keep: Callable[[Item], bool],
    limit: int,
    after: str | None,
    *,
    first: int = _SOME,
) -> Page:
    """At most `limit` of the items that are to be kept; 1 request for the first, 1 or 2 more for the rest.

    Args:
        fetch: gives so many items behind a sort key.
        after: go on behind this sort key.
        first: how many to look at first: few, where each costs a read of its own.

    Returns:
        A page that may hold less than `limit`, even nothing, and still have a next one.
    """
    kept: list[Item] = []
    looked_at = 0
    size = first
    while True:
        page = fetch(size, after)
        for item in page.items:
            if keep(item):
                kept.append(item)
                if len(kept) == limit:
                    more = item is not page.items[-1] or page.next_after is not None
                    return Page(kept, item.sort if more else None)
        looked_at += size
        after = page.next_after
        if after is None or looked_at >= MAX_READ:
            return Page(kept, after)
        size = _SOME if looked_at < _SOME else MAX_READ - looked_at


def standing_in(
    store: TenantStore,
    index: Index,
    lists: Sequence[str],
    kind: str,
    limit: int,
    after: str | None,
    *,
    since: str | None = None,
    before: str | None = None,
) -> Page:
    """The things of a kind that stand in any of these lists of an index, newest first.

    1 request for each list, and 1 for each 100 things, which are read as they are now: so the index may be behind, but
    the things are not. One that has left its list since is still among them.

    Args:
        since, before: see `TenantStore.query`.
    """
    pages = [
        store.query(one, index=index, limit=limit, after=after, newest_first=True, since=since, before=before)
        for one in lists
    ]
    merged = heapq.merge(*([item.sort for item in page.items] for page in pages), reverse=True)
    # One that changed its list between two queries is in both.
    every = list(dict.fromkeys(merged))
    ids = every[:limit]
    more = len(every) > limit or any(page.next_after is not None for page in pages)
    found = store.get_many([Key(kind, thing_id) for thing_id in ids])
    items = [found[Key(kind, thing_id)] for thing_id in ids if Key(kind, thing_id) in found]
    return Page(items, ids[-1] if more and ids else None)


def chosen(value: str | None, states: Any) -> list[str]:
    """The states that a filter means: the one it names, if that is one of them, or all if it names none.

    Args:
        states: a `Literal` of what things can be in.
    """
    return [state for state in get_args(states) if value is None or state == value]
