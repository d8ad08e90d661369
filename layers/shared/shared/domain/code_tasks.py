"""What the worker asks of the function that runs agents' code, and what that answers: plain data, both ways."""

from dataclasses import dataclass
from typing import Any, Literal

AnswerStatus = Literal["succeeded", "failed", "timed_out", "cancelled"]


@dataclass(frozen=True, slots=True)
class Task:
    """One call of an agent's own code.

    Attributes:
        bundle: an address that the bundle can be read at, without any permission, for a minute.
        stop: another one; once there is something at it, the run is to be stopped.
        seconds: for the answer. memory: in mebibytes.
    """

    bundle: str
    stop: str
    entrypoint: str
    payload: Any
    seconds: float
    memory: int


@dataclass(frozen=True, slots=True)
class Answer:
    """How the call ended; see `shared.sandbox.runs.Outcome`.

    Attributes:
        result: JSON.
        lines: what the agent wrote: seconds since 1970, level, text.
    """

    status: AnswerStatus
    reason: str
    result: str | None
    error: str | None
    lines: list[tuple[float, str, str]]
    walls: list[str]
    duration_ms: int
