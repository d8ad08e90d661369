"""Lists of agents, and what they can be narrowed down to."""

import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

from pydantic import Field

from shared.domain import agents, named
from shared.domain.agent_kinds import STATUSES, Kind, ShownStatus
from shared.domain.agents import Agent
from shared.store import keys
from shared.store.listing import filtered, standing_in
from shared.store.table import Item, Page, TenantStore

NamePart = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class AgentFilter:
    """What the agents of a list have in common; None asks for nothing.

    Attributes:
        tool_name: the name of a tool that they all have.
        prefix: what their names begin with, letter by letter.
    """

    tool_name: str | None = None
    status: ShownStatus | None = None
    kind: Kind | None = None
    prefix: str | None = None

    def keeps(self, agent: Agent) -> bool:
        """Whether an agent is in the list, as far as its own record tells."""
        return (
            (self.status is None or agent.status == self.status)
            and (self.kind is None or agent.kind == self.kind)
            and (self.prefix is None or agent.name.startswith(self.prefix))
        )


def page(store: TenantStore, wanted: AgentFilter, limit: int, after: str | None) -> Page:
    """A page of agents, newest first; those with a prefix and no tool by their names.

    1 request. With `tool_name` or a prefix 1 more for each 100 agents (and 1 for the tool's name). With `status` or
    `kind` 1 for each pair of them that is meant, and 1 for each 100 agents. Other combinations take as many as
    `filtered` does.
    """
    if wanted.prefix is not None:
        # As names are kept: see `fields.Name`.
        wanted = replace(wanted, prefix=unicodedata.normalize("NFC", wanted.prefix))
    fetch: Callable[[int, str | None], Page]
    if wanted.tool_name is not None:
        tool_id = named.id_of(store, keys.TOOLS, wanted.tool_name)
        if tool_id is None:
            return Page([], None)
        fetch, rest = partial(_users, store, tool_id), replace(wanted, tool_name=None)
    elif wanted.prefix is not None:
        fetch, rest = partial(_by_name, store, wanted.prefix), replace(wanted, prefix=None)
    elif wanted == AgentFilter():
        return named.newest(store, keys.AGENTS, limit, after)
    else:
        return _in_states(store, wanted, limit, after)
    if rest == AgentFilter():
        return fetch(limit, after)
    return filtered(fetch, lambda item: rest.keeps(agents.read(item)), limit, after, first=limit)


def _in_states(store: TenantStore, wanted: AgentFilter, limit: int, after: str | None) -> Page:
    """The agents of a status, of a kind, or of both."""
    groups = [
        keys.group(keys.AGENTS, kind, status)
        for kind, statuses in STATUSES.items()
        for status in statuses
        if wanted.kind in {None, kind} and wanted.status in {None, status}
    ]
    found = standing_in(store, keys.GROUP, groups, keys.AGENTS, limit, after)
    return Page([item for item in found.items if wanted.keeps(agents.read(item))], found.next_after)


def _users(store: TenantStore, tool_id: str, limit: int, after: str | None) -> Page:
    """The agents that have a tool."""
    page = store.query(keys.users_of_tool(tool_id), limit=limit, after=after, newest_first=True)
    return _looked_up(store, page, lambda item: item.sort)


def _by_name(store: TenantStore, prefix: str, limit: int, after: str | None) -> Page:
    """The agents whose names begin so."""
    end = keys.behind_prefix(prefix)
    page = store.query(keys.names(keys.AGENTS), limit=limit, after=after, since=prefix, before=end)
    return _looked_up(store, page, lambda item: json.loads(item.doc))


def _looked_up(store: TenantStore, page: Page, agent_id: Callable[[Item], str]) -> Page:
    """The agents that a page of an index names, under the index's sort keys. One that is gone by now is left out."""
    wanted = {item.sort: keys.agent(agent_id(item)) for item in page.items}
    found = store.get_many(list(wanted.values()))
    items = [replace(found[key], sort=sort) for sort, key in wanted.items() if key in found]
    return Page(items, page.next_after)
