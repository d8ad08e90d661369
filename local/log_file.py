"""A log file that does not grow for ever: when it is full it is put aside, and the one put aside before is gone."""

import threading
from pathlib import Path
from typing import Any

LARGEST = 20_000_000
"""Bytes of one file; there are two at most. About 4,000 one-tool runs fill one."""


class LogFile:
    """A text file to write to, as a standard stream; other things are asked of the file that is open now."""

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        self._path, self._largest = path, largest
        self._lock = threading.Lock()
        self._file = path.open("a", buffering=1)
        self._size = path.stat().st_size

    def write(self, text: str) -> int:
        with self._lock:
            written = self._file.write(text)
            self._size += len(text.encode(errors="replace"))
            # Never in the middle of a line: `print` writes the end of it by itself.
            if self._size >= self._largest and text.endswith("\n"):
                self._begin_anew()
            return written

    def close(self) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _begin_anew(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".full.log"))
        self._file = self._path.open("a", buffering=1)
        self._size = 0
