"""Leave to spend: for how long a worker may call a model or a tool on the strength of what it read in the log.

Nothing reaches into a worker that is about to call. So a worker calls within `LEAVE_SECONDS` of having begun to read,
or to write, the log of a run that goes on, and reads it again if it was held up longer; and a cancel is answered
`ANSWER_SECONDS` after it was written. Whoever has the answer knows that no call begins any more, at no extra request
(docs/decisions/0011-background-cancel-sessions.md).
"""

import time

from shared.domain import conversation
from shared.errors import RunCancelled
from shared.store import run_log
from shared.store.table import TenantStore

LEAVE_SECONDS = 0.25
ANSWER_SECONDS = 0.5


class Leave:
    """A worker's leave, from before it reads the log, or writes to it."""

    def __init__(self, store: TenantStore, run_id: str) -> None:
        self._store, self._run_id = store, run_id
        self._since = time.monotonic()

    def check(self) -> None:
        """To be asked right before a call; no request, unless the leave has run out.

        Raises:
            RunCancelled: the run was ended meanwhile.
        """
        while time.monotonic() - self._since > LEAVE_SECONDS:
            self._since = time.monotonic()
            if conversation.replay(run_log.read(self._store, self._run_id).events).end is not None:
                raise RunCancelled("The run is over.")
