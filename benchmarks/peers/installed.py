"""The virtual environments of the peers."""

import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_CACHE = _HERE.parent.parent / ".peers"


_INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement")


class CannotInstall(Exception):
    """Its packages are not to be had."""


def python(name: str) -> Path:
    """The interpreter of a peer, which has what its requirements file says.

    Raises:
        CannotInstall: see there.
    """
    wanted, folder = requirements(name), _CACHE / name
    noted, interpreter = folder / "installed.txt", folder / "bin/python"
    if not noted.exists() or noted.read_text() != wanted:
        command = [str(interpreter), *_INSTALL, str(_HERE / f"{name}.txt")]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
            subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise CannotInstall((error.stderr.strip().splitlines() or ["pip failed"])[-1]) from error
        noted.write_text(wanted)
    return interpreter


def requirements(name: str) -> str:
    """The requirements file of a peer."""
    return (_HERE / f"{name}.txt").read_text()


def version(name: str, package: str) -> str:
    """The version of a package that a peer is pinned to."""
    pins = dict(line.split("==") for line in requirements(name).splitlines())
    return pins[package]
