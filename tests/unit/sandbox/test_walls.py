"""What holds on a system that has fewer walls, and that agents run there all the same."""

import contextlib
import glob
import json
import os
import subprocess
import sys
import sysconfig
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.sandbox import runs
from tests.unit.support.sandbox import GOOD, SMALL, call, write

ROOT = Path(__file__).parent.parent.parent.parent
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's"),
    pytest.mark.usefixtures("place"),
]


def test_without_a_wall_that_is_needed_nothing_is_run(place: Path) -> None:
    limits = replace(SMALL, walls=frozenset({"user"}), needs=frozenset({"filter"}))
    outcome = call(place, "print('loaded')\n" + GOOD, limits=limits)
    assert (outcome.status, outcome.reason) == ("failed", "sandbox_failed")
    assert outcome.error == "This system has no sandbox with filter."
    assert outcome.logs == []


_HARMLESS_WITHOUT_FILTER = {
    "reaches the network": (
        "agent_error",
        "import socket\ndef handle(p): socket.create_connection(('169.254.169.254', 80), 5)",
    ),
    "reaches this machine": (
        "agent_error",
        "import socket\ndef handle(p): socket.create_connection(('127.0.0.1', 9001), 5)",
    ),
    "forks until it cannot": (
        "agent_error",
        """
        import os, time
        def handle(p):
            while True:
                if os.fork() == 0: time.sleep(60)
        """,
    ),
    "kills everybody": ("killed", "import os\ndef handle(p): os.kill(0, 9); os.kill(-1, 9)"),
    "reads the host": ("agent_error", "def handle(p): return open('/etc/passwd').read()"),
    "becomes root": ("agent_error", "import os\ndef handle(p): os.setuid(0)"),
    "mounts": (
        "agent_error",
        "import ctypes\ndef handle(p): assert ctypes.CDLL(None).mount(b'n', b'/tmp', b'tmpfs', 0, b'') == 0",
    ),
}


@pytest.mark.parametrize("name", _HARMLESS_WITHOUT_FILTER)
def test_namespaces_hold_without_the_filter(place: Path, name: str) -> None:
    reason, source = _HARMLESS_WITHOUT_FILTER[name]
    limits = replace(SMALL, walls=frozenset({"namespaces", "user"}))
    outcome = call(place, source, limits=limits)
    if "namespaces" not in outcome.walls:
        pytest.skip("this system gives no namespaces")
    assert (outcome.status, outcome.reason) == ("failed", reason), outcome


def test_a_daemon_ends_with_its_namespace(place: Path) -> None:
    name = f"handle_{uuid.uuid4().hex}"
    source = f"""
        import os, time
        def {name}(p):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.closerange(0, 256)
                    time.sleep(600)
                os._exit(0)
            return 1
    """
    limits = replace(SMALL, walls=frozenset({"namespaces", "user"}))
    outcome = runs.run(write(place, source), f"main:{name}", None, limits)
    if "namespaces" not in outcome.walls:
        pytest.skip("this system gives no namespaces")
    assert (outcome.status, outcome.result) == ("succeeded", "1")
    deadline = time.monotonic() + 60
    while _at_work(name):
        assert time.monotonic() < deadline, "the daemon is still there"
        time.sleep(0.01)


def _at_work(name: str) -> bool:
    """Whether a process has this in its arguments."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if name in Path(path).read_text():
                return True
    return False


_WITH_THREADS = """
    import os, threading
    def handle(payload):
        found = []
        threads = [threading.Thread(target=found.append, args=(n,)) for n in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        return [payload, sorted(found), sorted(os.environ)]
"""


@pytest.mark.parametrize("walls", [set(), {"filter"}, {"namespaces"}], ids=lambda walls: "-".join(walls) or "none")
def test_it_runs_with_any_walls(place: Path, walls: set[str]) -> None:
    """As the platform's own user, on a machine where that has any number of threads already."""
    stop = threading.Event()
    others = [threading.Thread(target=stop.wait) for _ in range(2 * SMALL.threads)]
    for one in others:
        one.start()
    try:
        outcome = call(place, _WITH_THREADS, "x", replace(SMALL, walls=frozenset(walls)))
    finally:
        stop.set()
        for one in others:
            one.join()
    assert outcome.result == '["x",[0,1,2,3],["HOME","LANG","PATH","TMPDIR"]]', outcome
    assert set(outcome.walls) <= walls


def _on(system: str, place: Path, source: str, user: str = "") -> dict[str, Any]:
    """The outcome of an agent on a system that refuses some calls."""
    write(place, source)
    command = [sys.executable, "-m", "tests.unit.support.refusing", system, str(place), user]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=True)
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def test_it_runs_where_lambda_runs_it(place: Path) -> None:
    outcome = _on("like Lambda", place, _WITH_THREADS)
    assert (outcome["status"], outcome["walls"]) == ("succeeded", []), outcome
    assert outcome["result"] == '["x",[0,1,2,3],["HOME","LANG","PATH","TMPDIR"]]'


def test_its_limits_hold_where_lambda_runs_it(place: Path) -> None:
    outcome = _on("like Lambda", place, "def handle(p): return len(bytearray(1 << 34))")
    assert (outcome["status"], outcome["reason"]) == ("failed", "memory_used_up")


def test_a_system_that_ends_who_asks_for_namespaces(place: Path) -> None:
    wanted = _on("as it is", place, _WITH_THREADS)["walls"]
    outcome = _on("ends who unshares", place, _WITH_THREADS)
    assert outcome["status"] == "succeeded", outcome
    assert set(outcome["walls"]) == set(wanted) - {"namespaces"}


def test_the_hosts_umask_does_not_matter(place: Path) -> None:
    before = os.umask(0o077)
    try:
        outcome = call(place, "def handle(p): return open('/dev/null').read()")
    finally:
        os.umask(before)
    assert outcome.result == '""', outcome


_STDLIB = Path(sysconfig.get_path("stdlib"))
_REACHABLE = os.geteuid() != 0 or all(folder.stat().st_mode & 0o005 == 0o005 for folder in [_STDLIB, *_STDLIB.parents])
_WITHOUT_NAMESPACES = {
    "fills the disk": (
        "disk_used_up",
        "def handle(p):\n    for n in range(10**9):\n        open(str(n), 'wb').write(bytes(100_000))",
    ),
    "makes files": ("disk_used_up", "def handle(p):\n    for n in range(10**9): open(str(n), 'w').close()"),
    "makes folders in folders": (
        "disk_used_up",
        "import os\ndef handle(p):\n    for n in range(10**9): os.mkdir('d'); os.chdir('d')",
    ),
    "forks": ("agent_error", "import os\ndef handle(p): os.fork()"),
    "connects": ("agent_error", "import socket\ndef handle(p): socket.create_connection(('127.0.0.1', 9001), 5)"),
    "kills its parent": ("agent_error", "import os\ndef handle(p): os.kill(os.getppid(), 9)"),
    "reads its parent's environment": (
        "agent_error",
        "import os\ndef handle(p): return open(f'/proc/{os.getppid()}/environ').read()",
    ),
}


@pytest.mark.skipif(not _REACHABLE, reason="this Python is its owner's alone")
@pytest.mark.parametrize("name", _WITHOUT_NAMESPACES)
def test_the_filter_and_the_user_hold_without_namespaces(place: Path, name: str) -> None:
    reason, source = _WITHOUT_NAMESPACES[name]
    if os.geteuid() == 0:
        for folder in (place.parent, *place.parent.parents[:2]):
            folder.chmod(folder.stat().st_mode | 0o055)
    limits = replace(SMALL, walls=frozenset({"filter", "user"}))
    outcome = call(place, source, limits=limits)
    assert (outcome.status, outcome.reason) == ("failed", reason), outcome
    assert list((place.parent / "runs").iterdir()) == []
