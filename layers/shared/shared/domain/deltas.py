"""A model's answer as it is made: pieces of its text become `message.delta` events of the run.

They are for watchers. `message.completed`, which follows them, is what was said: the pieces of an attempt that broke
off stand in the log too, and the next attempt begins anew under the next number.
"""

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from shared.clients.llm_replies import Reply
from shared.domain import conversation
from shared.errors import ConditionFailed
from shared.store import run_log
from shared.store.run_log import Event, Log
from shared.store.table import TenantStore

TICK_SECONDS = 0.05
_LOOK_SECONDS = 1.0
# What is left when the answer ends is written together with it, so it must leave room in that batch.
_LAST_PIECES = 16


@dataclass(slots=True)
class Writer:
    """Writes the pieces of one answer into a run's log.

    Attributes:
        log: as far as it is known here. rest: the events that belong before `message.completed`.
        heard: the model has begun to answer.
        taken: the run has ended, or another copy of the worker has finished this step: nothing is to be written.
    """

    store: TenantStore
    run_id: str
    log: Log
    step: int
    rest: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    heard: bool = False
    taken: bool = False

    def write(self, answer: Generator[str | Reply | None, None, None]) -> Reply | None:
        """Write an answer's pieces as they come: the first at once, the next every tenth of a second.

        Returns:
            The whole answer; None if the step is `taken`. Then no more of it is read.
        """
        attempt = 1 + _last_attempt(self.log, self.step)
        waiting: list[str] = []
        due = 0.0
        pause, alone = conversation.TEXT_SECONDS, True
        # Closing the answer hangs up: nobody pays for what nobody wants any more.
        with closing(answer):
            for piece in answer:
                if isinstance(piece, Reply):
                    self.rest = self._events(attempt, waiting, _LAST_PIECES) if alone else []
                    return piece
                if piece is not None:
                    waiting.append(piece)
                    self.heard = True
                if not waiting or time.monotonic() < due:
                    continue
                if not alone:
                    self.look()
                elif not self._append(self._events(attempt, waiting, run_log.MAX_BATCH)):
                    # A second copy of this worker was faster: this one writes no more pieces, but may be done first.
                    pause, alone = _LOOK_SECONDS, False
                if self.taken:
                    return None
                waiting, due = [], time.monotonic() + pause
        raise AssertionError("an answer ends with the whole of it")

    def look(self) -> None:
        """Read the log again, since somebody else has written there; pieces not yet written have no place any more."""
        self.log, self.rest = run_log.read(self.store, self.run_id), []
        seen = conversation.replay(self.log.events)
        self.taken = seen.end is not None or len(seen.steps) >= self.step

    def _append(self, events: list[tuple[str, dict[str, Any]]]) -> bool:
        """Write events behind those known here. False if others have written there meanwhile."""
        try:
            self.store.write(run_log.append(self.run_id, self.log.tail, events))
        except ConditionFailed:
            self.look()
            return False
        written = [Event(n, name, data, "") for n, (name, data) in enumerate(events, self.log.tail + 1)]
        self.log = Log([*self.log.events, *written], self.log.heads)
        return True

    def _events(self, attempt: int, pieces: list[str], most: int) -> list[tuple[str, dict[str, Any]]]:
        """One event for each piece; neighbours are joined if there are more than fit."""
        size = -(-len(pieces) // most) or 1
        texts = ["".join(pieces[start : start + size]) for start in range(0, len(pieces), size)]
        about = {"step": self.step, "attempt": attempt}
        return [("message.delta", about | {"content": text}) for text in texts]


def _last_attempt(log: Log, step: int) -> int:
    attempts = (event.data for event in log.events if event.event == "message.delta" and event.data["step"] == step)
    return max((data["attempt"] for data in attempts), default=0)
