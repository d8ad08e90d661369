"""The platform under measurement: `python -m local` in a process and a data folder of its own."""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import stub as stubs
from benchmarks.client import Client
from benchmarks.memory import pss_mb
from benchmarks.ports import free_ports

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform; `start_seconds` is from the start of the process to the first answer of the API."""

    port: int
    key: str
    pid: int
    start_seconds: float
    folder: Path

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self.port}", {"X-API-Key": self.key})

    def memory_mb(self) -> dict[str, int]:
        """Of the platform, by process."""
        host, *emulator = pss_mb(self.pid)
        return {"host": host, "emulator": sum(emulator)}


@contextmanager
def running(stub: str | None = None, folder: Path | None = None) -> Iterator[Platform]:
    """A platform on free ports, gone afterwards.

    Args:
        stub: URL of a `benchmarks.stub`, whose model and tool it uses. Without it, the platform's own stand-ins.
        folder: for its data; by default one that is gone afterwards, too.
    """
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch)
        port, *_ = free_ports(3)
        environment = os.environ | {"PORT": str(port), "LOCAL_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1"}
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            environment.pop(name, None)
        if stub is not None:
            environment |= {
                "OPENAI_API_KEY": "offline",
                "OPENAI_BASE_URL": f"{stub}/v1",
                "CUSTOM_API_KEY": "offline",
                "CUSTOM_BASE_URL": f"{stub}{stubs.PACED}/v1",
                "TOOL_PRIVATE_HOSTS": urlsplit(stub).netloc,
            }
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "local"], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            key = _key(process)
            client = Client(f"http://127.0.0.1:{port}", {"X-API-Key": key})
            client.send("GET", "/agents")
            client.close()
            yield Platform(port, key, process.pid, time.monotonic() - begun, data)
        finally:
            process.terminate()
            process.wait(timeout=90)


def _key(process: "subprocess.Popen[str]") -> str:
    """The admin key that the console prints when it is ready."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_SECONDS
    seen = ""
    while time.monotonic() < deadline and (line := process.stdout.readline()):
        seen += line
        if found := re.search(r"Admin key of the demo tenant: (\S+)", line):
            return found[1]
    raise RuntimeError(f"the platform did not start:\n{seen}")
