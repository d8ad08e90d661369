"""The kinds of agents: those of a model and instructions, and those of one's own code, which uploads publish."""

from collections.abc import Mapping
from typing import Any, Literal

from shared.errors import Conflict

Kind = Literal["llm", "code"]
Status = Literal["draft", "published", "archived"]
"""What a client may ask for."""

ShownStatus = Literal["draft", "published", "building", "ready", "failed", "archived"]
"""What an agent can be. An agent of kind `code` is given more by its builds."""

STATUSES: dict[Kind, tuple[ShownStatus, ...]] = {
    "llm": ("draft", "published", "archived"),
    "code": ("draft", "building", "ready", "failed", "archived"),
}
"""What an agent of each kind can be."""


def check_new(kind: Kind, status: Status) -> None:
    """Refuse a new agent that would be published without an upload.

    Raises:
        Conflict: it would.
    """
    if status == "published":
        check_publishes(kind)


def check_publishes(kind: Kind) -> None:
    """Refuse to publish what uploads publish.

    Raises:
        Conflict: the agent is of kind `code`.
    """
    if kind == "code":
        raise Conflict("An agent of kind code is published by uploading its code.", code="code_agent")


def kept(kind: Kind, status: ShownStatus, current_version: int | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of an agent, or becomes of it, whatever an update says.

    Args:
        kind, status, current_version: the agent's own. fields: what it is to be.

    Raises:
        Conflict: the kind would change, or code would be published without an upload.
    """
    if fields.get("kind", kind) != kind:
        raise Conflict("An agent's kind never changes.", code="kind_fixed")
    wanted = fields.get("status")
    if kind == "llm" or wanted is None:
        return {}
    if wanted == "published":
        check_publishes(kind)
    if wanted == "draft" and status != "archived":
        return {"status": status}
    if wanted == "draft" and current_version is not None:
        return {"status": "ready"}
    return {}
