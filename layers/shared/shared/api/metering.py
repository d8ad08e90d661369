"""What a request counts for, and the headers that say how much is left.

A request counts before its permission is looked at: who hammers on a closed door is slowed down, too. A POST that may
start a run counts as one when idempotency has let it through, so a replay counts as a request only.
"""

from dataclasses import dataclass, field

from shared.api.caller import Caller
from shared.domain import limits


@dataclass(slots=True)
class Meter:
    """One request's counts.

    Attributes:
        headers: for its answer, whatever that is; of the limit that was looked at last.
    """

    headers: dict[str, str] = field(default_factory=dict)

    def count_request(self, caller: Caller) -> None:
        """One more request of the tenant; 1 request to the table, none without limits.

        Raises:
            RateLimited: the tenant has used up what it may.
        """
        self._count(caller, limits.REQUESTS, caller.limits.requests)

    def count_run(self, caller: Caller) -> None:
        """One more run of the tenant; as `count_request`."""
        self._count(caller, limits.RUNS, caller.limits.runs)

    def _count(self, caller: Caller, name: str, allowed: list[str] | None) -> None:
        state = limits.take(caller.store, name, allowed)
        if state is not None:
            self.headers = state.headers
