"""The agent's turn: its package is loaded, its entrypoint called, its answer written down."""

import contextlib
import importlib
import io
import json
import logging
import os
import sys
import traceback
from typing import Any

_MAX_MESSAGE = 2000
_MAX_NAME = 200


def say(file: int, what: dict[str, Any]) -> None:
    """Write one line of JSON to whoever watches."""
    _write_all(file, json.dumps(what).encode() + b"\n")


def _write_all(file: int, line: bytes) -> None:
    while line:
        line = line[os.write(file, line) :]


def serve(package: str, work: str, libraries: str, entrypoint: str, result: int) -> None:
    """Read the payload, call the agent, say how it ended, and end the process whatever still runs in it."""
    payload = json.loads(sys.stdin.buffer.read())
    _settle_in(package, work, libraries)
    try:
        outcome = _call(package, entrypoint, payload)
        line = _line(outcome)
    except MemoryError:
        line = _line(_failed("memory", "MemoryError", ""))
    _flush(sys.stdout)
    _flush(sys.stderr)
    _write_all(result, line)
    # Not sys.exit: that waits for threads.
    os._exit(0)


def _flush(stream: Any) -> None:
    """Flush what may be anything that the agent put there."""
    with contextlib.suppress(BaseException):
        stream.flush()


def _settle_in(package: str, work: str, libraries: str) -> None:
    """Make the process look as an agent expects it: its package first on the path, nothing of ours in sight."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.chdir(work)
    os.environ.clear()
    os.environ.update({"HOME": work, "TMPDIR": work, "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"})
    sys.argv = [""]
    sys.path[:0] = [package]
    sys.path.append(os.path.join(package, libraries))
    sys.dont_write_bytecode = True
    for name in [name for name in sys.modules if name.partition(".")[0] == "shared"]:
        # Agents may have a package of this name.
        del sys.modules[name]
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What it said until it was ended is kept.
        sys.stdout.reconfigure(line_buffering=True)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(message)s", stream=sys.stderr)


def _call(package: str, entrypoint: str, payload: Any) -> dict[str, Any]:
    module_name, _, function_name = entrypoint.partition(":")
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:  # noqa: BLE001 - sys.exit() too is an answer of the agent's
        return _raised("import", error, package)
    function = getattr(module, function_name, None)
    if not callable(function):
        return _failed("entrypoint", "AttributeError", f"{module_name} has no function {function_name}.")
    try:
        return {"result": function(payload)}
    except BaseException as error:  # noqa: BLE001
        return _raised("agent", error, package)


def _line(outcome: dict[str, Any]) -> bytes:
    try:
        return json.dumps(outcome, allow_nan=False, ensure_ascii=False).encode() + b"\n"
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - what was returned may hold anything, with methods of its own
        return json.dumps(_failed("result", type(error).__name__, _text(error))).encode() + b"\n"


def _raised(kind: str, error: BaseException, package: str) -> dict[str, Any]:
    if isinstance(error, MemoryError):
        kind = "memory"
    frames = error.__traceback__
    while frames and not frames.tb_frame.f_code.co_filename.startswith(f"{package}/"):
        frames = frames.tb_next
    try:
        traceback.print_exception(type(error), error, frames, limit=-20)
    except BaseException:  # noqa: BLE001
        return _failed(kind, type(error).__name__, "")
    return _failed(kind, type(error).__name__, _text(error))


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001
        return ""


def _failed(kind: str, name: str, message: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "type": name[:_MAX_NAME], "message": message[:_MAX_MESSAGE]}}
