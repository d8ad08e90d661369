"""Lists of runs: the tenant's, an agent's, a session's, of a time, of a status."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.domain import agents
from shared.domain.run_records import Run, Status, of_item
from shared.errors import NotFound
from shared.store import keys
from shared.store.ids import first_at, is_id
from shared.store.listing import filtered
from shared.store.table import Item, Page, TenantStore

Kind = Literal["llm", "code", "tool", "workflow"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which runs. `agent` is an id or a name; the times are when a run was created, both ends included."""

    agent: str | None = None
    agent_version_id: str | None = None
    session_id: str | None = None
    status: frozenset[Status] | None = None
    kind: Kind | None = None
    since: datetime | None = None
    until: datetime | None = None


def page(store: TenantStore, wanted: Wanted, limit: int, after: str | None) -> Page:
    """A page of runs, newest first; 1 request, 1 more by agent or session, 2 if each must be looked at."""
    agent_id = None
    if wanted.agent is not None:
        agent_id = _agent_id(store, wanted.agent)
        if agent_id is None:
            return Page([], None)
    conditions = _conditions(wanted, None if wanted.session_id is None else agent_id)

    def fetch(count: int, behind: str | None) -> Page:
        return _fetch(store, wanted, agent_id, count, behind)

    if not conditions:
        return fetch(limit, after)
    return filtered(fetch, lambda item: _meets(of_item(item), conditions), limit, after)


def _agent_id(store: TenantStore, ref: str) -> str | None:
    """The id of an agent, also of a deleted one if it is given by its id; None if nobody bears the name."""
    try:
        return agents.resolve_id(store, ref)
    except NotFound:
        return None


Condition = Callable[[Run], bool]


def _conditions(wanted: Wanted, agent_id: str | None) -> list[Condition]:
    """What the keys do not tell."""
    found: list[Condition] = []
    if agent_id is not None:
        found.append(lambda run: run.agent_id == agent_id)
    if wanted.agent_version_id is not None:
        found.append(lambda run: run.agent_version_id == wanted.agent_version_id)
    if wanted.status is not None:
        statuses = wanted.status
        found.append(lambda run: run.status in statuses)
    if wanted.kind is not None:
        found.append(lambda run: run.kind == wanted.kind)
    return found


def _meets(run: Run, conditions: list[Condition]) -> bool:
    return all(condition(run) for condition in conditions)


def _fetch(store: TenantStore, wanted: Wanted, agent_id: str | None, limit: int, after: str | None) -> Page:
    """Runs by the one key that leads to the fewest."""
    since = first_at(wanted.since) if wanted.since else None
    before = first_at(wanted.until + timedelta(milliseconds=1)) if wanted.until else None
    if wanted.session_id is not None:
        partition = keys.runs_of_session(wanted.session_id)
    elif agent_id is not None:
        partition = keys.runs_of_agent(agent_id)
    else:
        return store.query(keys.RUNS, limit=limit, after=after, newest_first=True, since=since, before=before)
    listed = store.query(partition, limit=limit, after=after, newest_first=True, since=since, before=before)
    if not listed.items and after is None and wanted.session_id is not None:
        return _only_run(store, wanted.session_id, since, before)
    found = store.get_many([keys.run(item.sort) for item in listed.items])
    return Page([found[keys.run(item.sort)] for item in listed.items], listed.next_after)


def _only_run(store: TenantStore, session_id: str, since: str | None, before: str | None) -> Page:
    """The run whose session nobody else named: they bear one id, and no list holds it."""
    item: Item | None = store.get(keys.run(session_id)) if is_id(session_id) else None
    if item is None or of_item(item).session_id != session_id:
        return Page([], None)
    in_time = (since is None or item.sort >= since) and (before is None or item.sort < before)
    return Page([item] if in_time else [], None)
