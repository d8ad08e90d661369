"""The agent's process, from its first line: it shuts itself in, and only then loads what the tenant wrote.

Started by `runs` with what it needs as JSON in its arguments. It says in one line which walls hold, waits for the
payload on its standard input until that ends, and says in a second line how the agent ended.
"""

import contextlib
import json
import os
import resource
import signal
import sys
from typing import Any

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
    if kernel.LINUX:
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != given["parent"]:
            os._exit(1)
    if "namespaces" in asked and _unshare():
        walls.append("namespaces")
        rooms.enter(str(given["room"]), str(given["package"]), int(given["disk_bytes"]), int(given["files"]))
        _become_child_of_init()
    os.umask(0o077)
    _limit(given)
    if given["user"]:
        os.setgroups([])
        os.setresgid(given["user"], given["user"], given["user"])
        os.setresuid(given["user"], given["user"], given["user"])
        walls.append("user")
    if kernel.LINUX:
        kernel.drop_capabilities()
        kernel.no_new_privileges()
        # A change of user takes this back.
        kernel.die_with_parent(signal.SIGKILL)
        if "filter" in asked:
            with contextlib.suppress(OSError):
                filters.install()
                walls.append("filter")
    return walls


def _unshare() -> bool:
    """Whether this process got namespaces of its own, in which it may mount."""
    if not kernel.LINUX:
        return False
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
    """Fork; the parent only waits, with nothing open, and ends as the child did."""
    child = os.fork()
    if child == 0:
        return
    os.closerange(0, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _limit(given: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: int(given["cpu_seconds"]),
        resource.RLIMIT_AS: int(given["memory_bytes"]),
        resource.RLIMIT_FSIZE: int(given["disk_bytes"]),
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: int(given["threads"]),
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
