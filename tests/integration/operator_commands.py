"""The operator's commands as somebody at a terminal runs them, against the local platform's emulator."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from local.emulator import REGION
from local.runtime import ROOT, Runtime


def environment(platform: Runtime) -> dict[str, str]:
    """A shell with credentials for the emulator, and nothing else of ours."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": platform.emulator_url,
    }


def command(platform: Runtime, name: str, *arguments: str) -> list[str]:
    about = ["--stack", platform.stack.name, "--region", REGION]
    return [sys.executable, "-m", f"operations.{name}", *about, *arguments]


def run(platform: Runtime, name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output goes to no terminal."""
    return subprocess.run(
        command(platform, name, *arguments),
        cwd=ROOT,
        env=environment(platform) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def done(platform: Runtime, name: str, *arguments: str) -> str:
    """The output of a command that must succeed."""
    ended = run(platform, name, *arguments)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def refusal(platform: Runtime, name: str, *arguments: str) -> str:
    """Why a command did nothing."""
    ended = run(platform, name, *arguments)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.stderr


def at_terminal(platform: Runtime, name: str, *arguments: str) -> str:
    """What a command that must succeed shows on a terminal."""
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        command(platform, name, *arguments), cwd=ROOT, env=environment(platform), stdin=theirs, stdout=theirs
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4_096):
            shown += chunk
    except OSError:
        pass  # how the end of a terminal reads on Linux
    finally:
        os.close(ours)
    assert started.wait(timeout=120) == 0, shown
    return shown.decode()


def key_of(file: Path) -> str:
    """The key that a command wrote."""
    return file.read_text().strip()
