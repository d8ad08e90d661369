"""The packages as `sam build` makes them, for the Python and the processor of this machine."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LAYER = "SharedLayer"

_PROCESSORS = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_WHEELS = {"x86_64": "manylinux2014_x86_64", "arm64": "manylinux2014_aarch64"}
_SAM_SECONDS = 300
# How pip reaches the packages is the matter of the machine.
_NETWORK = ("pip_", "uv_", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert", "requests_ca")


def runtime() -> str:
    """The Lambda runtime with the Python that runs the tests, such as ``python3.11``."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def architecture() -> str:
    """This machine's processor, as Lambda names it."""
    return _PROCESSORS[platform.machine().lower()]


def parameters() -> dict[str, str]:
    """The parameters of the template that make it fit this machine."""
    return {"PythonRuntime": runtime(), "Architecture": architecture()}


def overrides(values: Mapping[str, str]) -> list[str]:
    """Parameters as the command line of SAM takes them."""
    return ["--parameter-overrides", *(f"{name}={value}" for name, value in values.items())]


def validate() -> None:
    """Let SAM look at the template."""
    sam(["validate", "--lint"])


def build(say: Callable[[str], None]) -> Path:
    """Build the packages, once in a process; what did not change since the last time is taken from the cache.

    Returns:
        The folder with the built template and one folder for each function and for the layer.
    """
    say(f"sam build for {runtime()} on {architecture()}")
    return _built()


@cache
def _built() -> Path:
    # SAM does not know that the layer depends on these two, so each pair has a cache of its own; and what is made
    # for the tests never lies where `sam deploy` would take it from.
    folder = ROOT / ".aws-sam" / f"{runtime()}-{architecture()}"
    made_for = {"PYTHON_VERSION": runtime().removeprefix("python"), "PLATFORM": _WHEELS[architecture()]}
    command = ["build", "--cached", "--parallel", "--build-dir", f"{folder}/build", "--cache-dir", f"{folder}/cache"]
    sam([*command, *overrides(parameters())], made_for)
    return folder / "build"


def sam(command: list[str], more: Mapping[str, str] | None = None, folder: Path = ROOT) -> str:
    """Run SAM with its own environment, not with what the shell around holds, and return what it wrote.

    Raises:
        AssertionError: it failed.
    """
    scripts = Path(sys.executable).parent
    environment = {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": os.environ.get("HOME", str(ROOT)),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SAM_CLI_TELEMETRY": "0",
    }
    environment |= {name: value for name, value in os.environ.items() if name.lower().startswith(_NETWORK)}
    done = subprocess.run(
        [f"{scripts}/sam", *command],
        cwd=folder,
        env={**environment, **(more or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SAM_SECONDS,
    )
    assert done.returncode == 0, f"sam {command[0]} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
