"""A built function in Lambda's own runtime: the interface emulator that SAM carries, and `awslambdaric` under it.

What the process sees is what it sees in Lambda: the function's folder, the layer, boto3 and the standard library.
"""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from samcli.lib.package.utils import make_zip_with_lambda_permissions, zip_folder

from local.emulator import REGION
from tests.deploy import building

_ANSWER_SECONDS = 60
_START_SECONDS = 20
_PATH = "/2015-03-31/functions/function/invocations"
_INITIALISED = re.compile(r"INIT REPORT\(durationMs: ([0-9.]+)\)")


@dataclass(frozen=True)
class Kit:
    """Where everything is.

    Attributes:
        built: what `sam build` left. python: as `lambdas_python` makes it. scratch: for logs.
    """

    built: Path
    python: Path
    scratch: Path

    def environment(self, package: Path, configuration: Mapping[str, Any], aws: str) -> dict[str, str]:
        """The variables of a function's process.

        Args:
            configuration: what Lambda knows of the function (`GetFunctionConfiguration`).
            aws: the address of what stands for AWS.
        """
        return {
            **configuration["Environment"]["Variables"],
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            # Lambda grants the start 10 s of its own, the emulator none; and a busy machine is not what is tested here.
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(_ANSWER_SECONDS),
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
            "PATH": f"{self.python.parent}:{os.defpath}",
            "LANG": "en_US.UTF-8",
            "LAMBDA_TASK_ROOT": str(package),
            # Lambda has the layer under /opt, which is not ours to write.
            "PYTHONPATH": f"{self.built / building.LAYER}/python",
            # The folders of the code cannot be written to in Lambda; here they stay as they were built.
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": aws,
        }


class Process:
    """A package under the runtime, which takes one event at a time; Python starts with the first."""

    def __init__(self, kit: Kit, package: Path, handler: str, environment: Mapping[str, str]) -> None:
        public, internal = free_port(), free_port()
        command = [str(_interface_emulator()), "--runtime-interface-emulator-address", f"127.0.0.1:{public}"]
        command += ["--runtime-api-address", f"127.0.0.1:{internal}", str(kit.python), "-m", "awslambdaric", handler]
        self._name, self._port, self._log = package.name, public, kit.scratch / f"{package.name}.log"
        self._process = start(command, environment, package, self._log)

    def invoke(self, event: Any) -> Any:
        """The answer to an event.

        Raises:
            AssertionError: the function could not be started, or it failed; what it logged is told.
        """
        connection = self._connected()
        try:
            connection.request("POST", _PATH, json.dumps(event), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read() or b"null")
        except (OSError, HTTPException, ValueError) as error:
            raise AssertionError(f"{self._name} gave no answer ({error!r}):\n{self._logged()}") from error
        finally:
            connection.close()
        # A failure is told in the body only.
        failed = isinstance(answer, dict) and "errorType" in answer
        assert not failed, f"{self._name} failed with {answer}:\n{self._logged()}"
        return answer

    def initialise(self, event: Any) -> float:
        """How long INIT took, in ms, as the emulator reports it. The event's answer is not waited for.

        Raises:
            AssertionError: the function could not be started; what it logged is told.
        """
        connection = self._connected()
        try:
            connection.request("POST", _PATH, json.dumps(event), {"Content-Type": "application/json"})
            deadline = time.monotonic() + _ANSWER_SECONDS
            while (found := _INITIALISED.search(self._log.read_text(errors="replace"))) is None:
                assert time.monotonic() < deadline, f"{self._name} does not start:\n{self._logged()}"
                time.sleep(0.02)
        finally:
            connection.close()
        assert "INIT RTDONE(status: success)" in self._log.read_text(errors="replace"), self._logged()
        return float(found[1])

    def python(self) -> Path:
        """The folder under /proc of the function's own process, which the emulator started."""
        threads = Path(f"/proc/{self._process.pid}/task").iterdir()
        (pid,) = " ".join((thread / "children").read_text() for thread in threads).split()
        return Path("/proc", pid)

    def end(self) -> None:
        """End Python and the emulator."""
        stop(self._process)

    def _connected(self) -> HTTPConnection:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            connection = HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
            try:
                connection.connect()
            except OSError:
                assert self._process.poll() is None, f"the runtime of {self._name} ended:\n{self._logged()}"
                assert time.monotonic() < deadline, f"the runtime of {self._name} does not listen:\n{self._logged()}"
                time.sleep(0.02)
            else:
                return connection

    def _logged(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


def start(command: list[str], environment: Mapping[str, str], folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    """A process that sees these variables only, in one group with all that it starts."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,
        )


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started, if that has not been done."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def unpacked(package: Path, folder: Path) -> Path:
    """The package as Lambda unpacks it: zipped as `sam deploy` does, with the files' rights."""
    with (
        zip_folder(str(package), zip_method=make_zip_with_lambda_permissions) as (archive, _),
        ZipFile(archive) as zipped,
    ):
        for entry in zipped.infolist():
            os.chmod(zipped.extract(entry, folder), entry.external_attr >> 16)
    return folder


def _interface_emulator() -> Path:
    spec = importlib.util.find_spec("samcli")
    assert spec is not None
    assert spec.submodule_search_locations
    kind = building.architecture()
    return Path(spec.submodule_search_locations[0], "local", "rapid", f"aws-lambda-rie-{kind}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
