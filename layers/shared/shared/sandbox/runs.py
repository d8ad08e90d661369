"""Runs an agent's code once, in a process of its own, and sees to its end."""

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shared.sandbox import kernel
from shared.sandbox.results import BadResult, Lines, LogLine, TooLarge, checked, parsed

WALLS = frozenset({"namespaces", "user", "filter"})

_LAYER = Path(__file__).parent.parent.parent
_START_SECONDS = 20.0
_END_SECONDS = 5.0
_EXIT_SECONDS = 2.0
_TICK_SECONDS = 0.1
_ASK_SECONDS = 1.0
_CHUNK = 65_536
# What JSON adds to an answer at most, before it is known to be too long: every character escaped.
_SLACK_BYTES = 65_536
# Users that no system gives to anybody, below those that stand for errors (2^31 and up).
_FIRST_USER, _USERS = 0x70000000, 0x0F000000
# The loader needs it where Python came with libraries of its own, as on Lambda.
_PASSED_ON = ("LD_LIBRARY_PATH",)
_START = "import sys; sys.path.insert(0, sys.argv[2]); from shared.sandbox import inside; inside.main(sys.argv[1])"

Status = Literal["succeeded", "failed", "timed_out", "cancelled"]
_KINDS = {
    "import": "import_failed",
    "entrypoint": "entrypoint_missing",
    "memory": "memory_used_up",
    "result": "result_invalid",
    "sandbox": "sandbox_failed",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. All but `seconds` are kept by the kernel.

    Args:
        seconds: from the moment that the payload is handed over until the answer is there.
        memory_bytes: address space, of the process and all its threads.
        disk_bytes: of its working folder, which is in memory where the system allows.
        files: in its working folder.
        threads: at once.
        result_bytes: of its answer, as JSON.
        output_bytes: of what it prints; more ends it.
        walls: what to shut it in with, where the system has it.
        needs: walls without which nothing is run.
    """

    seconds: float = 30.0
    memory_bytes: int = 512 * 1024 * 1024
    disk_bytes: int = 64 * 1024 * 1024
    files: int = 10_000
    threads: int = 64
    result_bytes: int = 100_000
    output_bytes: int = 1024 * 1024
    walls: frozenset[str] = WALLS
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        reason: `completed`, or what went wrong, in one word; the words are in docs/code-agents.md.
        result: of a run that succeeded, JSON.
        error: of one that did not, a sentence; it may quote the agent.
        walls: what it was shut in with.
    """

    status: Status
    reason: str
    result: str | None = None
    error: str | None = None
    logs: list[LogLine] = field(default_factory=list)
    walls: tuple[str, ...] = ()
    duration_ms: int = 0


def run(
    package: Path,
    entrypoint: str,
    payload: Any,
    limits: Limits = Limits(),
    stopped: Callable[[], bool] | None = None,
    libraries: str = "",
) -> Outcome:
    """Call an agent with a payload, and leave nothing of it behind.

    Args:
        package: the agent's folder, which belongs to this run alone. Its user owns it from now on.
        entrypoint: ``<module>:<function>``.
        payload: plain JSON data.
        stopped: asked each second whether the run is to be ended.
        libraries: a folder of the package from which modules are imported too, behind the standard library.
    """
    place = Path(tempfile.mkdtemp(prefix="agent-run-"))
    try:
        child = _Child(place, package.resolve(), entrypoint, limits, libraries)
        return child.watch(json.dumps(payload).encode(), stopped or (lambda: False))
    except OSError as error:
        return Outcome(
            "failed", "sandbox_failed", error=f"The agent's process could not be started ({error.strerror})."
        )
    finally:
        wipe(place)


class _Child:
    """The agent's process, and what is heard of it."""

    def __init__(self, place: Path, package: Path, entrypoint: str, limits: Limits, libraries: str) -> None:
        self._limits = limits
        self._work = place / "work"
        self._out, self._err = Lines("INFO"), Lines("ERROR")
        self._heard = b""
        self._printed = 0
        self._lines: list[bytes] = []
        self._end: tuple[Status, str, str] | None = None
        room = place / "room"
        user = _FIRST_USER + random.randrange(_USERS) if "user" in limits.walls and os.geteuid() == 0 else 0
        for folder in (self._work, room):
            folder.mkdir()
        if user:
            # In a namespace both are mounted. Without one this user must get there, and no other one.
            place.chmod(0o711)
            for folder in (self._work, package):
                os.chown(folder, user, user)
                folder.chmod(0o700)
        self._result, write_end = os.pipe()
        given = {
            "result": write_end,
            "parent": os.getpid(),
            "package": str(package),
            "work": str(self._work),
            "room": str(room),
            "entrypoint": entrypoint,
            "libraries": libraries,
            "user": user,
            "walls": sorted(limits.walls),
            # Against a process that outlives its watcher. Several threads may compute at once.
            "cpu_seconds": 4 * int(limits.seconds + 1),
            "memory_bytes": limits.memory_bytes,
            "disk_bytes": limits.disk_bytes,
            "files": limits.files,
            "threads": limits.threads,
        }
        python = getattr(sys, "_base_executable", sys.executable)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [os.path.realpath(python), "-I", "-S", "-B", "-c", _START, json.dumps(given), str(_LAYER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(write_end,),
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
                cwd="/",
                start_new_session=True,
            )
        except BaseException:
            os.close(self._result)
            raise
        finally:
            os.close(write_end)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._result, selectors.EVENT_READ)
        for stream, lines in ((self._process.stdout, self._out), (self._process.stderr, self._err)):
            if stream is not None:
                self._selector.register(stream, selectors.EVENT_READ, lines)

    def watch(self, payload: bytes, stopped: Callable[[], bool]) -> Outcome:
        """Hand over the payload, wait for the answer, end the process."""
        begun = time.monotonic()
        walls: tuple[str, ...] = ()
        with self._process, self._selector:
            try:
                walls = self._wait_for_walls(begun + _START_SECONDS)
                begun = time.monotonic()
                if self._end is None:
                    self._wait_for_answer(payload, begun + self._limits.seconds, stopped, "namespaces" in walls)
            finally:
                self._kill()
            milliseconds = int((time.monotonic() - begun) * 1000)
            self._hear_out()
        os.close(self._result)
        status, reason, said = self._end or self._told()
        logs = sorted(self._out.found + self._err.found, key=lambda line: line.at)
        result, error = (said, None) if status == "succeeded" else (None, said)
        return Outcome(status, reason, result, error, logs, walls, milliseconds)

    def _wait_for_walls(self, deadline: float) -> tuple[str, ...]:
        while not self._lines and self._listen(deadline):
            pass
        said: dict[str, Any] = parsed(self._lines.pop(0)) if self._lines else {}
        if "walls" not in said:
            why = said.get("error", {}).get("message", "it said nothing")
            self._end = "failed", "sandbox_failed", f"The sandbox could not be made: {why}."
            return ()
        walls = tuple(str(wall) for wall in said["walls"])
        if missing := self._limits.needs - set(walls):
            self._end = "failed", "sandbox_failed", f"This system has no sandbox with {', '.join(sorted(missing))}."
        if kernel.LINUX and not {"namespaces", "user"} & set(walls):
            # It runs as the same user, and could read this process's memory and environment. Lambda may refuse this.
            with contextlib.suppress(OSError):
                kernel.hide_from_equals()
        return walls

    def _wait_for_answer(
        self, payload: bytes, deadline: float, stopped: Callable[[], bool], disk_is_bounded: bool
    ) -> None:
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError), self._process.stdin as file:
                # It is read to its end before anything of the tenant's is loaded.
                file.write(payload)
        limits, asked = self._limits, time.monotonic()
        while self._end is None and not self._lines:
            if time.monotonic() >= deadline:
                self._end = "timed_out", "time_used_up", f"The agent did not answer within {limits.seconds:g} seconds."
            elif not self._listen(deadline):
                self._wait_for_exit()
                return
            elif self._printed > limits.output_bytes:
                self._end = "failed", "output_too_large", f"The agent printed more than {limits.output_bytes} bytes."
            elif len(self._heard) > limits.result_bytes + _SLACK_BYTES:
                self._end = "failed", "result_too_large", f"The result is more than {limits.result_bytes} bytes."
            elif not disk_is_bounded and fills(self._work, limits.disk_bytes, limits.files):
                self._end = "failed", "disk_used_up", f"The agent wrote more than {limits.disk_bytes} bytes."
            elif time.monotonic() - asked > _ASK_SECONDS:
                asked = time.monotonic()
                if stopped():
                    self._end = "cancelled", "cancelled", "The run was cancelled."

    def _listen(self, deadline: float) -> bool:
        """Take what comes within a tick; False when no answer can come any more, or it is too late."""
        left = deadline - time.monotonic()
        for key, _ in self._selector.select(max(0.0, min(_TICK_SECONDS, left))):
            data = os.read(key.fd, _CHUNK)
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.data is None:
                self._heard += data
                if b"\n" in data:
                    *whole, self._heard = self._heard.split(b"\n")
                    self._lines += whole
            else:
                self._printed += len(data)
                if self._printed <= self._limits.output_bytes:
                    key.data.feed(data)
        return left > 0 and any(key.data is None for key in self._selector.get_map().values())

    def _wait_for_exit(self) -> None:
        """Let a process that ends by itself do so, to learn how; it is not reaped, so that its number stays its own."""
        deadline = time.monotonic() + _EXIT_SECONDS
        how = getattr(os, "WEXITED", 0) | getattr(os, "WNOHANG", 0) | getattr(os, "WNOWAIT", 0)
        while hasattr(os, "waitid") and time.monotonic() < deadline:
            if os.waitid(os.P_PID, self._process.pid, how) is not None:
                return
            time.sleep(0.01)
        self._end = "failed", "ended_early", "The agent closed the way on which it could answer."

    def _kill(self) -> None:
        # A new session is a group of processes too. The first in a namespace of its own takes all in there along.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    def _hear_out(self) -> None:
        """Take what is left in the pipes. They end when nobody holds them any more."""
        deadline = time.monotonic() + _END_SECONDS
        while self._selector.get_map() and time.monotonic() < deadline:
            self._listen(deadline)
        for lines in (self._out, self._err):
            lines.end()

    def _told(self) -> tuple[Status, str, str]:
        """How the agent ended, by its own words or else by its process's."""
        if not self._lines:
            return self._died(self._process.wait())
        try:
            said = parsed(self._lines[0])
            if "error" not in said:
                return "succeeded", "completed", checked(said["result"], self._limits.result_bytes)
            error = said["error"]
            kind, name, message = (str(error[part]) for part in ("kind", "type", "message"))
        except TooLarge as refused:
            return "failed", "result_too_large", str(refused)
        except (BadResult, KeyError, TypeError) as refused:
            return "failed", "result_invalid", str(refused) if isinstance(refused, BadResult) else "It is no result."
        text = f"{name[:200]}: {message[:2000]}".rstrip(": ").encode(errors="replace").decode()
        return "failed", _KINDS.get(kind, "agent_error"), text

    def _died(self, code: int) -> tuple[Status, str, str]:
        number = -code if code < 0 else code - 128
        if number == signal.SIGKILL:
            return "failed", "killed", "The agent's process used up its processor time, or the machine's memory."
        if 0 < number < signal.NSIG:
            return "failed", "crashed", f"The agent's process crashed (signal {number})."
        return "failed", "ended_early", f"The agent ended its process (exit code {code}) and gave no answer."


def fills(folder: Path, most_bytes: int, most_files: int) -> bool:
    """Whether a folder holds more than this."""
    count = size = 0
    folders = [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                with contextlib.suppress(OSError):
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                if size > most_bytes or count > most_files:
                    return True
    return False


def wipe(folder: Path) -> None:
    """Delete a folder, however deep somebody made it."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError):
        _flatten(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _flatten(top: Path) -> None:
    """Bring all folders directly under this one, so that no path in it is long."""
    waiting, number = [top], 0
    while waiting:
        folder = waiting.pop()
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
            for entry in list(os.scandir(folder)):
                if entry.is_dir(follow_symlinks=False):
                    number += 1
                    moved = top / f".{number}"
                    with contextlib.suppress(OSError):
                        os.rename(entry.path, moved)
                        waiting.append(moved)
