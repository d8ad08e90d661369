"""What a run of an agent's own code is to use: the latest version of it that is ready, or the one that is deployed."""

from shared.domain import code_versions
from shared.domain.agents import Agent
from shared.domain.plans import PlannedCode
from shared.errors import Conflict
from shared.store.table import TenantStore


def pinned(store: TenantStore, agent: Agent, max_seconds: int) -> tuple[Agent, PlannedCode]:
    """The agent as it is in that version, and the version; 1 request.

    Args:
        max_seconds: what the run allows; the version itself may allow less.

    Raises:
        Conflict: no version is ready.
    """
    number = agent.version_to_run
    version = None if number is None else code_versions.get(store, agent.id, number)
    if version is None or version.status != "ready":
        raise Conflict("The agent has no version that is ready: upload its code first.", code="no_ready_version")
    was = {"version": version.number, "current_version_id": version.id, "status": "published", "model": ""}
    code = PlannedCode(
        version_id=version.id,
        key=version.bundle_key,
        entrypoint=version.entrypoint or "",
        seconds=min(version.timeout_seconds or max_seconds, max_seconds),
        memory=version.memory or 512,
    )
    return agent.model_copy(update=was), code
