"""The agent's process, from its first line: it shuts itself in, and only then loads what the tenant wrote.

Started by `runs` with what it needs as JSON in its arguments. It says in one line which walls hold, waits for the
payload on its standard input until that ends, and says in a second line how the agent ended.
"""

import contextlib
import glob
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from shared.sandbox import agent, filters, kernel, rooms

_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
# Of an ordinary user of the machine, who is nobody in here.
_NOBODY = 65534


def main(text: str) -> None:
    """Become the agent's process. Never returns."""
    given: dict[str, Any] = json.loads(text)
    result = int(given["result"])
    try:
        walls = _shut_in(given)
    except OSError as error:
        agent.say(result, {"error": {"kind": "sandbox", "type": "OSError", "message": str(error)}})
        os._exit(1)
    agent.say(result, {"walls": walls})
    package, work = (
        (rooms.PACKAGE, rooms.WORK) if "namespaces" in walls else (str(given["package"]), str(given["work"]))
    )
    agent.serve(package, work, str(given["libraries"]), str(given["entrypoint"]), result)


def _shut_in(given: dict[str, Any]) -> list[str]:
    """Put up the walls that were asked for and can be had here; their names.

    Raises:
        OSError: the work on one had begun and could not be ended.
    """
    asked, walls = set(given["walls"]), list[str]()
    # Its user is to get at what is made here, whatever umask the host has.
    os.umask(0o022)
    _end_with_parent()
    if os.getppid() != given["parent"]:
        os._exit(1)
    if "namespaces" in asked and kernel.LINUX and _go_on_in_namespaces():
        walls.append("namespaces")
        rooms.enter(str(given["room"]), str(given["package"]), int(given["disk_bytes"]), int(given["files"]))
        _become_child_of_init()
    os.umask(0o077)
    # Elsewhere the limit counts what else its user runs.
    alone = "namespaces" in walls or bool(given["user"])
    _limit(given, int(given["threads"]) + (0 if alone else _threads_of_user()))
    if given["user"]:
        os.setgroups([])
        os.setresgid(given["user"], given["user"], given["user"])
        os.setresuid(given["user"], given["user"], given["user"])
        walls.append("user")
    if kernel.LINUX:
        # What a process with no rights has none of; Lambda refuses it even to be asked.
        with contextlib.nullcontext() if walls else contextlib.suppress(OSError):
            kernel.drop_capabilities()
            kernel.no_new_privileges()
        # A change of user takes this back.
        _end_with_parent()
        if "filter" in asked and _survives(filters.install):
            filters.install()
            walls.append("filter")
    return walls


def _end_with_parent() -> None:
    """End when the process that started this one ends; where that is refused, as on Lambda, its limits end it."""
    with contextlib.suppress(OSError):
        if kernel.LINUX:
            kernel.die_with_parent(signal.SIGKILL)


def _survives(action: Callable[[], None]) -> bool:
    """Whether a copy of this process can do this: some systems refuse by an error, some by an end."""
    copy = os.fork()
    if copy == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - this copy must not go on
            os._exit(1)
        os._exit(0)
    return os.waitpid(copy, 0)[1] == 0


def _go_on_in_namespaces() -> bool:
    """Fork, and go on in a child that has namespaces of its own; or as it was before, if there are none to be had.

    A process that has got some of them and not the others is good for nothing: it may not even start threads.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _end_with_parent()
        if not _unshare():
            os._exit(1)
        os.write(tell, b"1")
        os.close(tell)
        return True
    os.close(tell)
    has_them = os.read(told, 1)
    os.close(told)
    if has_them:
        _end_as(child)
    os.waitpid(child, 0)
    return False


def _unshare() -> bool:
    """Whether this process got namespaces of its own, in which it may mount."""
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(_NAMESPACES if user == 0 else _NAMESPACES | kernel.CLONE_NEWUSER)
        if user != 0:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"{_NOBODY} {user} 1")
            _write("/proc/self/gid_map", f"{_NOBODY} {group} 1")
        # Some systems give namespaces to everybody, and no rights in them.
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    except OSError:
        return False
    return True


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _become_child_of_init() -> None:
    """Go on as the second process of a new process namespace: when its first ends, the kernel ends all in there."""
    _go_on_in_child()
    kernel.die_with_parent(signal.SIGKILL)
    _go_on_in_child()


def _go_on_in_child() -> None:
    """Fork; the parent only waits."""
    if child := os.fork():
        _end_as(child)


def _end_as(child: int) -> NoReturn:
    """Wait with nothing open until the child has ended, and end as it did."""
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _threads_of_user() -> int:
    """How many threads this user has on the whole machine; 0 where nothing tells (proc(5), status)."""
    count = 0
    for path in glob.glob("/proc/[0-9]*/status"):
        with contextlib.suppress(OSError), open(path) as file:
            said = dict(line.split(":", 1) for line in file if ":" in line)
            if int(said["Uid"].split()[0]) == os.getuid():
                count += int(said["Threads"])
    return count


def _limit(given: dict[str, Any], threads: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(given["cpu_seconds"]),
        resource.RLIMIT_AS: int(given["memory_bytes"]),
        resource.RLIMIT_FSIZE: int(given["disk_bytes"]),
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: threads,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for name, most in limits.items():
        hard = resource.getrlimit(name)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # macOS knows no limit of the address space, and says so.
        with contextlib.suppress(ValueError) if not kernel.LINUX else contextlib.nullcontext():
            resource.setrlimit(name, (most, most))


if __name__ == "__main__":
    main(sys.argv[1])
