"""The platform under measurement: `python -m local` in a process and a data folder of its own."""

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Platform:
    """A running platform."""

    port: int
    key: str
    pid: int
    start_seconds: float

    @property
    def tools_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    def client(self) -> "Client":
        return Client(self)


class Client:
    """One keep-alive connection. The standard library's client, since it costs the least of the time measured."""

    def __init__(self, platform: Platform) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=60)
        self._headers = {"X-API-Key": platform.key, "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The parsed answer.

        Raises:
            RuntimeError: the answer is no 2xx; a measurement of errors would be worthless.
        """
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running() -> Iterator[Platform]:
    """A platform on free ports, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        port = _free_ports()
        environment = os.environ | {"PORT": str(port), "LOCAL_DATA_DIR": folder, "PYTHONUNBUFFERED": "1"}
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
            environment.pop(name, None)
        begun = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", "local"], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            key = _key(process)
            yield Platform(port, key, process.pid, time.monotonic() - begun)
        finally:
            process.terminate()
            process.wait(timeout=30)


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


def _free_ports() -> int:
    """The first of three free ports in a row."""
    for first in range(18_000, 19_000, 3):
        sockets = []
        try:
            for port in range(first, first + 3):
                probe = socket.socket()
                sockets.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return first
    raise RuntimeError("no three free ports in a row")
