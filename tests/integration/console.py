"""`python -m local` as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from local.runtime import ROOT


class Console:
    """``python -m local`` as a user starts it."""

    def __init__(self, data_dir: Path, port: int, template: Path | None = None, **environment: str) -> None:
        settings = {"PORT": str(port), "LOCAL_DATA_DIR": str(data_dir), "PATH": os.environ["PATH"], **environment}
        if template:
            settings["LOCAL_TEMPLATE"] = str(template)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"], cwd=ROOT, env=settings, stdout=pipe, stderr=pipe, text=True
        )
        self.port = port
        self.output = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if "Ctrl-C" in line:
                return
        raise AssertionError(self.output + self.ended()[1])

    def admin_key(self) -> str:
        """The key that the console shows."""
        return self.output.partition("Admin key of the demo tenant: ")[2].split()[0]

    def curl(self) -> Any:
        """Run the command that the console shows."""
        command = self.output.partition("Try it:")[2].partition("Ctrl-C")[0]
        return json.loads(subprocess.check_output(["bash", "-c", command], text=True))

    def emulator(self) -> int:
        """The process of the emulator; right after the start there is one more, which looks at the sandbox's walls."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = []
        for child in children:
            with suppress(OSError):
                if b"emulator_child" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        (emulator,) = found
        return emulator

    def ended(self) -> tuple[int, str]:
        """The exit code and what stands on standard error."""
        _, errors = self.process.communicate(timeout=90)
        return self.process.returncode, errors

    def kill(self) -> None:
        """SIGKILL, and wait until the emulator, which saves itself, is gone too."""
        emulator = Path(f"/proc/{self.emulator()}")
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=90)
        deadline = time.monotonic() + 90
        while emulator.exists():
            assert time.monotonic() < deadline, "the emulator outlived its host"
            time.sleep(0.05)
