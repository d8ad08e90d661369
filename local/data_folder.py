"""The folder that holds a runtime's state: owned by one runtime at a time, tied to its emulator's port."""

import fcntl
import os
import time
from pathlib import Path

from local.errors import LocalError

_SAVING_SECONDS = 60.0


class DataFolder:
    """An opened data folder. Its lock is shared with the emulator, which holds it until its state is saved."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._port_file = path / "emulator-port"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        self.lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._acquire()
        except BaseException:
            self.close()
            raise

    @property
    def emulator_port(self) -> int | None:
        """The port that this folder's state was made with: addresses of queues, kept in it, contain the port."""
        return int(self._port_file.read_text()) if self._port_file.exists() else None

    @emulator_port.setter
    def emulator_port(self, port: int) -> None:
        self._port_file.write_text(f"{port}\n")

    def fresh_log(self, name: str) -> Path:
        """A log file of this start; the last start's stays beside it."""
        file = self.path / name
        if file.exists():
            file.replace(file.with_suffix(".old.log"))
        return file

    def close(self) -> None:
        """Let others use the folder."""
        os.close(self.lock)

    def _acquire(self) -> None:
        deadline = time.monotonic() + _SAVING_SECONDS
        while True:
            try:
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = self._owner()
                if owner is not None:
                    raise LocalError(f"{self.path} is in use by another local runtime (process {owner})") from None
                # Its host was killed: the emulator is still saving.
                if time.monotonic() > deadline:
                    raise LocalError(f"the emulator of an earlier runtime still uses {self.path}") from None
                time.sleep(0.05)
            else:
                os.ftruncate(self.lock, 0)
                os.pwrite(self.lock, str(os.getpid()).encode(), 0)
                return

    def _owner(self) -> int | None:
        """The process that locked the folder, if it lives."""
        text = os.pread(self.lock, 20, 0).decode()
        try:
            os.kill(int(text), 0)
        except (ValueError, ProcessLookupError):
            return None
        except PermissionError:
            pass
        return int(text)
