"""Agents that want out. None of them gets anything, none outlives its run, and the next run does not notice."""

import glob
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest

from shared.sandbox import runs
from shared.sandbox.runs import Limits
from tests.unit.support.sandbox import GOOD, HASTY, SMALL, call, delays

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")

CANARY = "sk-canary-4711"
# Other tests run agents at the same time, under other users.
_USER = 0x70000000 + os.getpid()

_REFUSED = {
    "reads its environment": "import os\ndef handle(p): return os.environ['AWS_SECRET_ACCESS_KEY']",
    "reads its environment in /proc": "def handle(p): return open('/proc/self/environ').read()",
    "reads the environment of everybody": """
        import glob
        def handle(p):
            found = {f: open(f, errors='replace').read() for f in glob.glob('/proc/*/environ')}
            return found['/proc/1/environ']""",
    "reads the environment of its parent": """
        import os
        def handle(p): return open(f'/proc/{os.getppid()}/environ').read()""",
    "reads credentials of the host": "def handle(p): return open(p['home'] + '/.aws/credentials').read()",
    "reads another tenant's file": "def handle(p): return open(p['secret']).read()",
    "lists another tenant's folder": "import os\ndef handle(p): return os.listdir(os.path.dirname(p['secret']))",
    "lists the platform's sources": "import os\ndef handle(p): return os.listdir(p['sources'])",
    "reads the passwords of the system": "def handle(p): return open('/etc/shadow').read()",
    "reads the users of the system": "def handle(p): return open('/etc/passwd').read()",
    "follows a link of its package": "def handle(p): return open(__file__.replace('main.py', 'link')).read()",
    "follows a link that it makes": """
        import os
        def handle(p):
            os.symlink(p['secret'], 'link')
            return open('link').read()""",
    "makes a hard link": "import os\ndef handle(p): os.link(p['secret'], 'link')",
    "reads the host's disk": """
        import os, stat
        def handle(p):
            os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))
            return open('disk', 'rb').read(512).hex()""",
    "changes its own package": "def handle(p): open(__file__, 'a').write('#')",
    "plants a module for others": """
        import os
        def handle(p): open(os.path.dirname(os.__file__) + '/planted.py', 'w').write('1')""",
    "asks the metadata address": """
        import socket
        def handle(p): return socket.create_connection(('169.254.169.254', 80), 1).recv(100).hex()""",
    "asks the runtime API": """
        import urllib.request
        def handle(p):
            address = 'http://127.0.0.1:9001/2018-06-01/runtime/invocation/next'
            return urllib.request.urlopen(address, timeout=1).read().decode()""",
    "looks up a name": "import socket\ndef handle(p): return socket.getaddrinfo('canary.example.com', 80)",
    "sends a datagram": """
        import socket
        def handle(p): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('1.1.1.1', 53))""",
    "talks to a daemon": """
        import socket
        def handle(p): socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')""",
    "opens a raw socket": """
        import socket
        def handle(p): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)""",
    "listens": "import socket\ndef handle(p): socket.create_server(('127.0.0.1', 0))",
    "traces its parent": """
        import ctypes, os
        def handle(p): assert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0, 'refused'""",
    "reads its parent's memory": """
        import os
        def handle(p): return open(f'/proc/{os.getppid()}/mem', 'rb').read(1).hex()""",
    "kills its parent": "import os, signal\ndef handle(p): os.kill(os.getppid(), signal.SIGKILL)",
    "kills everybody": "import os, signal\ndef handle(p): os.kill(-1, signal.SIGKILL)",
    "forks for ever": "import os\ndef handle(p):\n    while True: os.fork()",
    "leaves a daemon behind": """
        import os, time
        def handle(p):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    time.sleep(60)
                os._exit(0)""",
    "starts a shell": "import subprocess\ndef handle(p): subprocess.check_call(['/bin/sh', '-c', 'id'])",
    "becomes another program": "import os, sys\ndef handle(p): os.execv('/usr/lib/x', ['x'])",
    "runs a program from memory": """
        import os
        def handle(p):
            os.write(file := os.memfd_create('x'), open('/usr/lib/x', 'rb').read())
            os.execv(file, ['x'])""",
    "becomes root": "import os\ndef handle(p): os.setuid(0)",
    "makes a namespace in which it is root": """
        import ctypes
        def handle(p): assert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'""",
    "mounts": """
        import ctypes
        def handle(p): assert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, b'') == 0, 'refused'""",
    "changes its root": "import os\ndef handle(p): os.chroot('/tmp')",
    "lifts its limits": """
        import resource
        def handle(p): resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)""",
    "limits its parent": """
        import os, resource
        def handle(p): resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))""",
    "uses a ring of calls": """
        import ctypes
        def handle(p): assert ctypes.CDLL(None).syscall(425, 1, bytes(200)) >= 0, 'refused'""",
    "calls by other numbers": """
        import ctypes
        def handle(p): assert ctypes.CDLL(None).syscall(0x40000000 + 41, 2, 1, 0) >= 0, 'refused'""",
    "starts threads for ever": """
        import threading, time
        def handle(p):
            while True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()""",
    "fills the disk": "def handle(p):\n    with open('a', 'wb') as f:\n        while True: f.write(bytes(65536))",
    "fills the disk with small files": """
        def handle(p):
            for n in range(10**9):
                with open(f'{n}', 'wb') as f: f.write(bytes(50_000))""",
    "makes files for ever": "def handle(p):\n    for n in range(10**9): open(f'{n}', 'w').close()",
    "makes folders for ever": "import os\ndef handle(p):\n    for n in range(10**9): os.mkdir('d'); os.chdir('d')",
    "opens files for ever": "def handle(p):\n    kept = []\n    while True: kept.append(open('/dev/null'))",
    "leaves by sys.exit": "import sys\ndef handle(p): sys.exit(0)",
    "says nothing true of its error": """
        class Odd(Exception):
            def __str__(self): raise SystemExit
        def handle(p): raise Odd""",
}

_ENDED = {
    "fills the memory": ("memory_used_up", "def handle(p): return len(bytearray(1 << 34))"),
    "fills the memory slowly": (
        "memory_used_up",
        "def handle(p):\n    a = []\n    while True: a.append(bytearray(1 << 20))",
    ),
    "fills the memory while it loads": ("memory_used_up", "a = bytearray(1 << 34)\ndef handle(p): return 1"),
    "loops": ("time_used_up", "def handle(p):\n    while True: pass"),
    "loops while it loads": ("time_used_up", "while True: pass"),
    "sleeps": ("time_used_up", "import time\ndef handle(p): time.sleep(60)"),
    "ignores all signals and errors": (
        "time_used_up",
        """
        import signal
        def handle(p):
            for n in set(signal.valid_signals()) - {9, 19}:
                try: signal.signal(n, signal.SIG_IGN)
                except OSError: pass
            while True:
                try:
                    while True: pass
                except BaseException: pass""",
    ),
    "never ends to say its error": (
        "time_used_up",
        """
        class Odd(Exception):
            def __str__(self):
                while True: pass
        def handle(p): raise Odd""",
    ),
    "hangs in its output": (
        "time_used_up",
        """
        import sys
        class Odd:
            def flush(self):
                while True: pass
            write = print
        def handle(p): sys.stdout = Odd()""",
    ),
    "floods its output": ("output_too_large", "def handle(p):\n    while True: print('x' * 1000)"),
    "floods its output with one line": (
        "output_too_large",
        "import os\ndef handle(p):\n    while True: os.write(2, bytes(9999))",
    ),
    "ends its process": ("ended_early", "import os\ndef handle(p): os._exit(0)"),
    "ends its process while it loads": ("ended_early", "import os\nos._exit(3)"),
    "aborts": ("crashed", "import os\ndef handle(p): os.abort()"),
    "crashes": ("crashed", "import ctypes\ndef handle(p): ctypes.string_at(0)"),
    "closes all that is open": (
        "ended_early",
        "import os, time\ndef handle(p):\n    os.closerange(0, 256)\n    time.sleep(60)",
    ),
    "returns no JSON": ("result_invalid", "def handle(p): return object()"),
    "returns bytes": ("result_invalid", "import pickle\ndef handle(p): return pickle.dumps(handle)"),
    "returns itself": ("result_invalid", "def handle(p):\n    a = []\n    a.append(a)\n    return a"),
    "returns what is no number": ("result_invalid", "def handle(p): return {'a': float('nan')}"),
    "returns a number without end": ("result_invalid", "def handle(p): return 10 ** 5000"),
    "returns what is no text": ("result_invalid", "def handle(p): return '\\ud800'"),
    "returns keys that are none": ("result_invalid", "def handle(p): return {(1, 2): 3}"),
    "returns a deep result": (
        "result_invalid",
        "def handle(p):\n    a = []\n    for n in range(100): a = [a]\n    return a",
    ),
    "returns a bottomless result": (
        "result_invalid",
        "def handle(p):\n    a = []\n    for n in range(10**5): a = [a]\n    return a",
    ),
    "returns a large result": ("result_too_large", "def handle(p): return 'x' * 10_001"),
    "returns a giant result": ("result_too_large", "def handle(p): return 'x' * 10_000_000"),
    "returns something with a life of its own": (
        "result_invalid",
        """
        class Odd(dict):
            def items(self): raise SystemExit
        def handle(p): return Odd(a=1)""",
    ),
    "bends the writing of JSON": (
        "result_invalid",
        "import json\njson.dumps = lambda *a, **k: 'nonsense'\ndef handle(p): return 1",
    ),
    "writes to all that is open": (
        "result_invalid",
        """
        import os
        def handle(p):
            for n in range(256):
                try: os.write(n, b'{"nonsense":\\n')
                except OSError: pass""",
    ),
    "writes deep nonsense to all that is open": (
        "result_invalid",
        """
        import os
        def handle(p):
            for n in range(3, 256):
                try: os.write(n, b'[' * 50_000 + b'\\n')
                except OSError: pass""",
    ),
    "writes an outcome that there is not": (
        "agent_error",
        """
        import os
        def handle(p):
            for n in range(3, 256):
                try: os.write(n, b'{"error": {"kind": "cancelled", "type": [1], "message": {}}}\\n')
                except OSError: pass""",
    ),
}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a secret in its environment and another tenant's file beside the runs."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    secret = tmp_path / "other" / "secret.txt"
    secret.parent.mkdir()
    secret.write_text(CANARY)
    secret.parent.chmod(0o755)
    secret.chmod(0o644)
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "runs"))
    monkeypatch.setattr(runs, "_FIRST_USER", _USER)
    monkeypatch.setattr(runs, "_USERS", 1)
    return tmp_path


def _suffer(place: Path, source: str, limits: Limits) -> tuple[str, str]:
    """Run a hostile agent, see that nothing came of it, and that the next agent runs."""
    secret = place / "other" / "secret.txt"
    payload = {"secret": str(secret), "home": str(Path.home()), "sources": str(Path(__file__).parent)}
    (place / "agent").mkdir()
    (place / "agent" / "link").symlink_to(secret)
    with delays() as late:
        outcome = call(place / "agent", source, payload, limits)
    assert CANARY not in repr(outcome)
    assert outcome.status in {"failed", "timed_out"}, outcome
    assert outcome.duration_ms <= (limits.seconds + 2 + late()) * 1000
    assert sum(len(line.message) for line in outcome.logs) <= limits.output_bytes
    assert secret.read_text() == CANARY
    assert list((place / "runs").iterdir()) == []
    _wait_until_all_are_gone()
    following = call(place / "next", GOOD, "x")
    assert (following.status, following.result) == ("succeeded", '{"got":"x"}')
    return outcome.status, outcome.reason


def _wait_until_all_are_gone() -> None:
    """No process of the run's user is left once the kernel has carried out what it was told."""
    deadline = time.monotonic() + 60
    while _left_behind():
        assert time.monotonic() < deadline, _left_behind()


def _left_behind() -> list[str]:
    found = []
    for path in glob.glob("/proc/[0-9]*/status"):
        try:
            said = Path(path).read_text()
        except OSError:
            continue
        users = [line.split()[1] for line in said.splitlines() if line.startswith("Uid:")]
        if int(users[0]) == _USER:
            found.append(path)
    return found


@pytest.mark.parametrize("name", _REFUSED)
def test_what_is_refused(name: str, place: Path) -> None:
    assert _suffer(place, _REFUSED[name], SMALL) == ("failed", "agent_error")


@pytest.mark.parametrize("name", _ENDED)
def test_what_is_ended(name: str, place: Path) -> None:
    reason, source = _ENDED[name]
    if reason == "time_used_up":
        assert _suffer(place, source, HASTY) == ("timed_out", reason)
    else:
        assert _suffer(place, source, SMALL) == ("failed", reason)


def test_there_are_enough_of_them() -> None:
    assert len(_REFUSED) + len(_ENDED) >= 25
