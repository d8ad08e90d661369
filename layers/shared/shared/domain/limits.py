"""Limits on how often, how much and for how much money: how they are written, and how one is taken from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from shared import metrics
from shared.errors import RateLimited
from shared.store import counters
from shared.store.counters import Count, Limit
from shared.store.table import TenantStore
from shared.telemetry import measure

RateLimit = Annotated[
    str,
    Field(
        pattern=r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$",
        description="So many in each window of the clock, such as `10/minute`.",
    ),
]
TokenBudget = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,11}/(minute|hour|day)$")]
MoneyBudget = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,6})?/(minute|hour|day)$")]
"""Dollars in each window, such as `5.00/day`."""

REQUESTS = "REQUEST"
RUNS = "RUN"
# What is counted under any other name is a binding's.
_KINDS = {REQUESTS: "requests", RUNS: "runs"}


def of_binding(agent_id: str, tool_id: str) -> str:
    """What counts the calls of a tool by an agent."""
    return f"BINDING#{agent_id}#{tool_id}"


@dataclass(frozen=True, slots=True)
class State:
    """How much is left of a limit; `resets_at` in epoch seconds."""

    limit: int
    remaining: int
    resets_at: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.resets_at),
        }


def take(store: TenantStore, name: str, limits: Sequence[str] | None) -> State | None:
    """Count one more of a name; 1 request, none without limits.

    Args:
        limits: such as `10/minute`; they hold together.

    Raises:
        RateLimited: one of the limits is used up; nothing was counted.
    """
    if not limits:
        return None
    count = counters.take(store, name, [read(limit) for limit in limits])
    state = State(count.limit, count.remaining, count.resets_at)
    if not count.accepted:
        measure({metrics.LIMITS_REFUSED: 1}, {"limit": _KINDS.get(name, "tool_calls")})
        raise RateLimited(_told(count), headers=state.headers | {"Retry-After": str(count.retry_after)})
    return state


def read(limit: str) -> Limit:
    """A limit as the counters take it."""
    amount, _, unit = limit.partition("/")
    return Limit(int(amount), unit)


def _told(count: Count) -> str:
    return f"The limit of {count.limit} is used up; there is room again in {count.retry_after} seconds."
