"""Lists of runs: the tenant's, an agent's, a session's, of a time, of a status."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal, get_args

from shared.domain import agents
from shared.domain.run_records import Run, Status, of_item
from shared.errors import NotFound
from shared.store import keys
from shared.store.ids import first_at, is_id
from shared.store.listing import chosen, filtered, standing_in
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
    """A page of runs, newest first; 1 request, 1 more by agent or session, 2 or 3 if each must be looked at.

    By status or kind alone 1 for each pair of them that is meant, and 1 for each 100 runs.
    """
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

    def keep(item: Item) -> bool:
        run = of_item(item)
        return all(condition(run) for condition in conditions)

    if wanted.session_id is not None or agent_id is not None:
        return filtered(fetch, keep, limit, after, first=limit)
    if wanted.status is not None or wanted.kind is not None:
        return filtered(partial(_in_states, store, wanted), keep, limit, after, first=limit)
    return filtered(fetch, keep, limit, after)


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


def _fetch(store: TenantStore, wanted: Wanted, agent_id: str | None, limit: int, after: str | None) -> Page:
    """Runs by the one key that leads to the fewest."""
    since, before = _times(wanted)
    if wanted.session_id is not None:
        partition = keys.runs_of_session(wanted.session_id)
    elif agent_id is not None:
        partition = keys.runs_of_agent(agent_id)
    else:
        return store.query(keys.RUNS, limit=limit, after=after, newest_first=True, since=since, before=before)
    listed = store.query(partition, limit=limit, after=after, newest_first=True, since=since, before=before)
    if not listed.items and after is None and wanted.session_id is not None:
        return _only_run(store, wanted.session_id, since, before)
    found_keys = [keys.run(item.sort) for item in listed.items]
    found = store.get_many(found_keys)
    # A run whose beginning was cut short may be in the list and not be there.
    return Page([found[key] for key in found_keys if key in found], listed.next_after)


def _times(wanted: Wanted) -> tuple[str | None, str | None]:
    """The sort key from which on, and the one below which the runs of the time lie."""
    since = first_at(wanted.since) if wanted.since else None
    return since, first_at(wanted.until + timedelta(milliseconds=1)) if wanted.until else None


def _in_states(store: TenantStore, wanted: Wanted, limit: int, after: str | None) -> Page:
    """The runs of these statuses and this kind, as the table says, and those that may be overdue."""
    statuses = set(wanted.status or get_args(Status))
    if "timed_out" in statuses:
        # Nobody may have written down yet that their time is over.
        statuses |= {"running", "waiting"}
    groups = [
        keys.group(keys.RUNS, kind, status)
        for kind in chosen(wanted.kind, Run.model_fields["kind"].annotation)
        for status in sorted(statuses)
    ]
    since, before = _times(wanted)
    return standing_in(store, keys.GROUP, groups, keys.RUNS, limit, after, since=since, before=before)


def _only_run(store: TenantStore, session_id: str, since: str | None, before: str | None) -> Page:
    """The run whose session nobody else named: they bear one id, and no list holds it."""
    item: Item | None = store.get(keys.run(session_id)) if is_id(session_id) else None
    if item is None or of_item(item).session_id != session_id:
        return Page([], None)
    in_time = (since is None or item.sort >= since) and (before is None or item.sort < before)
    return Page([item] if in_time else [], None)
