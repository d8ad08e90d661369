"""What comes out of the agent's process, read as what it is: text that somebody else wrote."""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 64
MAX_LINE = 4000
MAX_LINES = 1000

_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL)[: ]")


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that the agent wrote; `at` in seconds since 1970."""

    at: float
    level: str
    message: str


class BadResult(ValueError):
    """The agent's answer cannot be one: its first argument says why."""


class TooLarge(BadResult):
    """It is larger than answers may be."""


def checked(value: Any, max_bytes: int) -> str:
    """The result as JSON, if it is plain, finite, flat enough and short enough.

    Raises:
        BadResult: it is not.
    """
    if _too_deep(value):
        raise BadResult(f"The result is nested more than {MAX_DEPTH} levels deep.")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except ValueError as error:
        raise BadResult("The result holds text that is not Unicode, or numbers that are none.") from error
    if size > max_bytes:
        raise TooLarge(f"The result is {size} bytes of JSON; {max_bytes} are the most.")
    return text


def parsed(line: bytes) -> dict[str, Any]:
    """A line of the agent's process.

    Raises:
        BadResult: it is not one JSON object.
    """
    try:
        said = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadResult("The result is not JSON, or nested too deep.") from error
    if not isinstance(said, dict):
        raise BadResult("The result is not what an agent's process says.")
    return said


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


class Lines:
    """Takes a stream of output apart into log lines, as far as there is room for them.

    Args:
        level: of lines that do not begin with the name of a level, as those of `logging` do.
    """

    def __init__(self, level: str) -> None:
        self._level = level
        self._rest = b""
        self.found: list[LogLine] = []

    def feed(self, data: bytes) -> None:
        """Take what was read."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            self._keep(line)
        # A line without an end is cut, and what follows is dropped.
        self._rest = self._rest[: 4 * MAX_LINE]

    def end(self) -> None:
        """Nothing more will come."""
        if self._rest:
            self._keep(self._rest)
            self._rest = b""

    def _keep(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        if not text or len(self.found) >= MAX_LINES:
            return
        named = _LEVEL.match(text)
        level = (named[1] if named else self._level).replace("CRITICAL", "ERROR")
        self.found.append(LogLine(time.time(), level, text[:MAX_LINE]))
