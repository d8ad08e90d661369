"""The lines that builds, runs and clients write about an agent: one store, in order, with an end to everything.

Lines lie in batches, since a request costs the same for one and for a hundred. A run's lines are kept twice: among
its agent's and by themselves.
"""

import json
import re
import time
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import Field

from shared import clock
from shared.config import settings
from shared.domain import agents
from shared.domain.fields import Model, Record, SmallObject
from shared.errors import BadRequest, NotFound
from shared.store import keys
from shared.store.ids import new_id
from shared.store.keys import Key
from shared.store.table import Item, Page, Put, TenantStore

MAX_CHARACTERS = 2_000
"""Of one line; what is longer is cut."""

MAX_LINES = 1_000
"""Of one build or run; the last one says what was left out."""

_LINES_IN_BATCH = 100
_BYTES_IN_BATCH = 60_000
_BATCHES_READ = 25
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]{2}")

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Source = Literal["build", "runtime", "client"]


class Line(NamedTuple):
    """What is written; when, as `clock.now` tells it."""

    level: Level
    message: str
    timestamp: str


class LogCreate(Model):
    """A line of a client's own."""

    message: str = Field(min_length=1, max_length=MAX_CHARACTERS)
    level: Level = "INFO"
    metadata: SmallObject = {}


class LogEntry(Record):
    """A line. Who gives its `id` as `after` is told what was written behind it."""

    id: str
    timestamp: str
    level: Level
    message: str
    source: Source
    metadata: dict[str, Any]


def line(message: str, level: Level = "INFO") -> Line:
    """A line of this moment, no longer than one may be, without control characters."""
    shown = "".join(sign if sign.isprintable() or sign == "\t" else "\N{REPLACEMENT CHARACTER}" for sign in message)
    return Line(level, shown[: MAX_CHARACTERS - 1] + "…" if len(shown) > MAX_CHARACTERS else shown, clock.now())


def batches(
    agent_id: str, source: Source, lines: Sequence[Line], metadata: dict[str, Any], run_id: str | None = None
) -> list[Put]:
    """The writes that add lines to an agent's log, and to that of the run that wrote them."""
    if len(lines) > MAX_LINES:
        left_out = len(lines) - MAX_LINES + 1
        lines = [*lines[: MAX_LINES - 1], line(f"{left_out} more lines are left out.", "WARNING")]
    expires_at = int(time.time()) + settings().agent_log_days * 86_400
    places = [keys.agent_lines(agent_id), *([keys.run_lines(run_id)] if run_id else [])]
    writes = []
    for batch in _cut(lines):
        batch_id = new_id()
        doc = json.dumps({"source": source, "metadata": metadata, "lines": batch}, ensure_ascii=False)
        writes += [Put(Key(place, batch_id), doc, expires_at=expires_at) for place in places]
    return writes


def add(store: TenantStore, agent_ref: str, draft: LogCreate) -> LogEntry:
    """Add a client's line; 2 requests by id.

    Raises:
        NotFound: no such agent.
    """
    agent = agents.get(store, agent_ref)
    (write,) = batches(agent.id, "client", [line(draft.message, draft.level)], draft.metadata)
    store.write(write)
    return read(_lines_of(Item(write.key.sort, write.doc, 1, {}, {}))[0])


def page(store: TenantStore, agent_ref: str, since: str | None, limit: int, after: str | None) -> Page:
    """A page of an agent's lines, oldest first; 2 requests by id, 1 more for each 25 batches.

    Args:
        since: the id of the line to go on behind. after: the same, from a cursor; it comes first.

    Raises:
        NotFound: no such agent.
        BadRequest: no line has such an id.
    """
    agent = agents.get(store, agent_ref)
    return _page(store, keys.agent_lines(agent.id), limit, after or since)


def page_of_run(store: TenantStore, run_id: str, since: str | None, limit: int, after: str | None) -> Page:
    """A page of a run's lines; as `page`.

    Raises:
        NotFound: no such run.
        BadRequest: no line has such an id.
    """
    if store.get(keys.run(run_id)) is None:
        raise NotFound("No such execution.")
    return _page(store, keys.run_lines(run_id), limit, after or since)


def read(item: Item) -> LogEntry:
    return LogEntry.model_validate_json(item.doc)


def _page(store: TenantStore, partition: str, limit: int, after: str | None) -> Page:
    if after is not None and _ID.fullmatch(after) is None:
        raise BadRequest("after must be the id of a line.", code="invalid_after")
    # The batch of the line itself may hold more behind it.
    since = None if after is None else after.partition(".")[0]
    lines: list[Item] = []
    behind: str | None = None
    while True:
        found = store.query(partition, limit=min(limit, _BATCHES_READ), since=since, after=behind)
        lines += [one for item in found.items for one in _lines_of(item) if after is None or one.sort > after]
        since, behind = None, found.next_after
        if behind is None or len(lines) > limit:
            return Page(lines[:limit], lines[limit - 1].sort if len(lines) > limit else None)


def _lines_of(item: Item) -> list[Item]:
    """The lines of a batch, each as if it were an item of its own."""
    batch = json.loads(item.doc)
    shared = {"source": batch["source"], "metadata": batch["metadata"]}
    found = []
    for number, (level, message, timestamp) in enumerate(batch["lines"]):
        sort = f"{item.sort}.{number:02d}"
        doc = {"id": sort, "level": level, "message": message, "timestamp": timestamp, **shared}
        found.append(Item(sort, json.dumps(doc), 1, {}, {}))
    return found


def _cut(lines: Sequence[Line]) -> list[list[Line]]:
    found: list[list[Line]] = []
    size = 0
    for one in lines:
        size += len(one.message.encode()) + 60
        if not found or len(found[-1]) == _LINES_IN_BATCH or size > _BYTES_IN_BATCH:
            found.append([])
            size = len(one.message.encode()) + 60
        found[-1].append(one)
    return found
