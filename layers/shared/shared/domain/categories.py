"""Categories of tools, and how many tools each of them has.

Counted by the reader of the table's stream, so that who asks reads the counts and no tools, and who changes a tool
writes nothing more. A change is counted a second or two after it was made (docs/decisions/0030-counted-categories.md).
"""

import json
from typing import TYPE_CHECKING

from shared import clock
from shared.domain.fields import Record
from shared.store import keys
from shared.store.table import Add, Item, Put, TenantStore, Write

if TYPE_CHECKING:
    from shared.store.stream import Written

MAX_NAMED = 1_000
"""Categories that one answer looks at."""

_TOOLS = "tools"
# Longer than a record can lie among the dead letters, from where it is brought back: 14 days.
_KEPT_SECONDS = 30 * 24 * 3_600


class Category(Record):
    """A category, and how many tools are in it."""

    name: str
    count: int


def count(written: "Written") -> tuple[Write, ...]:
    """The writes that count a change of a tool, to be made in one transaction: the second time it fails.

    None, if the tool stays in its category.
    """
    if written.key.partition != keys.TOOLS:
        return ()
    before, after = _category(written.old), _category(written.new)
    if before == after:
        return ()
    version = None if written.new is None else written.new.version
    mark = keys.counted_tool(written.key.sort, version)
    expires_at = clock.epoch(clock.in_seconds(_KEPT_SECONDS))
    moves = [(name, by) for name, by in ((before, -1), (after, 1)) if name]
    return Put(mark, "{}", expires_at=expires_at), *(Add(keys.category(name), {_TOOLS: by}) for name, by in moves)


def every(store: TenantStore) -> list[Category]:
    """The categories that any tool is in, by name; 1 request. It looks at `MAX_NAMED`, also at those left by all."""
    counted = store.query(keys.CATEGORIES, limit=MAX_NAMED).items
    return [Category(name=item.sort, count=int(item.amounts[_TOOLS])) for item in counted if item.amounts[_TOOLS] > 0]


def _category(tool: Item | None) -> str | None:
    category: str | None = None if tool is None else json.loads(tool.doc)["category"]
    return category
