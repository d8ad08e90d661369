"""The versions of an agent: published, rolled back to, deployed."""

import json
import re
from typing import Annotated

from pydantic import Field

from shared.domain import agent_kinds, agents, code_versions
from shared.domain.agents import Agent, AgentVersion
from shared.domain.code_versions import CodeVersion
from shared.domain.fields import Model, Whole
from shared.errors import ConditionFailed, Conflict, NotFound, VersionConflict
from shared.store import keys
from shared.store.table import Item, Page, TenantStore

_NUMBER = re.compile(r"v?([1-9][0-9]{0,8})")

Version = Annotated[AgentVersion | CodeVersion, Field(discriminator="kind")]
"""What an agent was when it was published, or the upload that is a version of its code."""


class AgentDeploy(Model):
    """The version to deploy; the current one if left out."""

    version: Annotated[Whole, Field(ge=1, le=999_999_999)] | None = None


def publish(store: TenantStore, ref: str, expected: int | None) -> Agent:
    """Keep what the agent is now as its next version, for runs to use; 1 read by id and 1 transaction.

    Raises:
        NotFound, VersionConflict: see `named.update`.
        Conflict: the agent is archived.
    """
    version_id = store.new_id()

    def change(agent: Agent) -> Agent:
        agents.refuse_archived(agent)
        agent_kinds.check_publishes(agent.kind)
        return agents.published(agent, version_id)

    try:
        return agents.alter(store, ref, change, expected, once=True)
    except (ConditionFailed, VersionConflict):
        agent = agents.get(store, ref)
        if store.get(keys.published(agent.id, version_id)) is None:
            raise
        # The id was reserved by an idempotent request whose first try got as far as this.
        return agent


def page(store: TenantStore, ref: str, limit: int, after: str | None) -> Page:
    """A page of an agent's versions, newest first; 2 requests by id."""
    agent = agents.find(store, ref)
    return store.query(keys.agent_versions(agent.sort), limit=limit, after=after, newest_first=True)


def read(item: Item) -> AgentVersion | CodeVersion:
    """A version of either kind from the table."""
    return code_versions.read(item) if json.loads(item.doc)["kind"] == "code" else agents.read_version(item)


def get(store: TenantStore, ref: str, version: str) -> AgentVersion | CodeVersion:
    """One version of an agent, by its number, with or without the `v` of code; 2 requests by id.

    Raises:
        NotFound: no such agent, or it has no such version.
    """
    agent = agents.find(store, ref)
    number = _NUMBER.fullmatch(version)
    item = store.get(keys.agent_version(agent.sort, int(number[1]))) if number else None
    if item is None:
        raise NotFound("No such version.")
    return read(item)


def activate(store: TenantStore, ref: str, version: str) -> Agent:
    """Make a version the current one again; 3 reads by id and 1 write, none if it is that already.

    Raises:
        NotFound: no such agent, or it has no such version.
        Conflict: the agent is archived, or the version's build has not succeeded.
    """
    wanted = get(store, ref, version)
    status = "ready" if isinstance(wanted, CodeVersion) else "published"
    current = {"status": status, "current_version": _number(wanted), "current_version_id": wanted.id}

    def change(agent: Agent) -> Agent | None:
        agents.refuse_archived(agent)
        changed = agent.model_copy(update=current)
        return None if changed == agent else changed

    return agents.alter(store, wanted.agent_id, change, None)


def deploy(store: TenantStore, ref: str, version: int | None) -> Agent:
    """Let runs use one version, whatever is published later; as `activate`, less 2 reads without `version`.

    Raises:
        NotFound: no such agent, or it has no such version.
        Conflict: the agent is archived, or was never published.
    """
    wanted = None if version is None else get(store, ref, str(version))
    if wanted is not None:
        _number(wanted)
    agent_id = ref if wanted is None else wanted.agent_id

    def change(agent: Agent) -> Agent | None:
        agents.refuse_archived(agent)
        live = version or agent.current_version
        if live is None:
            raise Conflict("The agent was never published; publish it first.", code="agent_not_published")
        return None if agent.live_version == live else agent.model_copy(update={"live_version": live})

    return agents.alter(store, agent_id, change, None)


def _number(version: AgentVersion | CodeVersion) -> int:
    """The number of a version that runs can use.

    Raises:
        Conflict: its build has not succeeded.
    """
    if not isinstance(version, CodeVersion):
        return version.version
    if version.status != "ready":
        raise Conflict(f"The version is {version.status}, not ready.", code="version_not_ready")
    return version.number


def undeploy(store: TenantStore, ref: str) -> Agent:
    """Let runs use the current version again; 1 read by id and 1 write, none if nothing is deployed."""

    def change(agent: Agent) -> Agent | None:
        return None if agent.live_version is None else agent.model_copy(update={"live_version": None})

    return agents.alter(store, ref, change, None)
