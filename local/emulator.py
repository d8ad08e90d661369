"""The emulator's process as seen from the runtime: start it, know that it lives, stop it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

from local.errors import LocalError
from local.wire import Peer

ACCOUNT = "000000000000"
REGION = "us-east-1"

_ROOT = Path(__file__).parent.parent
_START_SECONDS = 30.0
# A large state takes seconds to write.
_STOP_SECONDS = 60.0


class Emulator:
    """One child process that plays AWS on a port of the loopback interface: ``module``, told ``more`` variables."""

    def __init__(
        self,
        data_dir: Path,
        log: Path,
        port: int,
        snapshot_seconds: float,
        module: str = "local.emulator_child",
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.peer: Peer
        self._port, self._log, self._module = port, log, module
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "BIND_HOST": "127.0.0.1",
            "DOCKER_HOST": "unix:///nonexistent.sock",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "S3_DATA_DIR": str(data_dir / "s3"),
            "S3_PERSIST": "1",
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(data_dir / "state"),
            "LOCAL_PARENT_PID": str(os.getpid()),
            "LOCAL_SNAPSHOT_SECONDS": str(snapshot_seconds),
            **(more or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *inherited: int) -> None:
        """Start the process. It keeps the files ``inherited`` (the data folder's lock) open while it lives."""
        ours, theirs = socket.socketpair()
        self.peer = Peer(ours)
        with self._log.open("ab") as log, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=_ROOT,
                env=self._environment | {"LOCAL_CONTROL": str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(*inherited, theirs.fileno()),
                # Ctrl-C reaches the whole process group; the host decides when the emulator stops.
                process_group=0,
                umask=0o077,
            )

    def wait_until_ready(self) -> None:
        """Return when the emulator answers."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._healthy():
            if not self.pid:
                raise LocalError(f"the emulator did not start: {self._last_words()} (see {self._log})")
            if time.monotonic() > deadline:
                raise LocalError(f"the emulator did not answer within {_START_SECONDS:.0f} s (see {self._log})")
            time.sleep(0.02)

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def why_dead(self) -> LocalError:
        """What the emulator left behind when it ended by itself."""
        return LocalError(f"the emulator ended unexpectedly: {self._last_words()} (see {self._log})")

    def stop(self) -> None:
        """Let the emulator save its state and end."""
        if self._process is None:
            return
        if self.pid:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.peer.control.close()
        self._process = None

    def _healthy(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=2)
        try:
            connection.request("GET", "/_ministack/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.exists() else []
        return lines[-1] if lines else "it left no message"
