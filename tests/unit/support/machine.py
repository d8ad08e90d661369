"""Step Functions on paper: the workers of a run, called as `agent_run.asl.json` says.

The definition itself is tested in tests/integration. Here are its paths, its error names and its Retry counts.
"""

import json
from typing import Any

from shared.errors import Unavailable
from tests.unit.support.gateway import ROOT, load

_STATES = json.loads((ROOT / "state_machines/agent_run.asl.json").read_text())["States"]
_MOST_INVOCATIONS = 300
_STATE_OF = {"call_code": "CallCode", "call_model": "CallModel", "call_tool": "CallTool", "fail_run": "FailRun"}


def _attempts(worker: str, error: str) -> int:
    """How often the machine calls a worker that fails like this."""
    for retry in _STATES[_STATE_OF[worker]]["Retry"]:
        if error in retry["ErrorEquals"] or "States.ALL" in retry["ErrorEquals"]:
            return 1 + int(retry["MaxAttempts"])
    return 1


class WorkerDied(BaseException):
    """The environment was killed: no `except Exception` of the worker runs, and Lambda says `Lambda.Unknown`."""


class TaskFailed(Exception):
    """What the machine sees of a worker's error."""

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(name)
        self.name = name
        self.cause = cause


class Machine:
    """Drives a run.

    Attributes:
        invoked: the workers called, in order.
        pointers, background: the runs whose EXPRESS or STANDARD machine was started.
        stopped: the runs in the background whose machine was stopped.
        waits: False answers before the run has ended, as after `SYNC_WAIT_SECONDS`.
        broken: no machine can be started.
    """

    def __init__(self) -> None:
        self.invoked: list[str] = []
        self.pointers: list[dict[str, str]] = []
        self.background: list[dict[str, str]] = []
        self.stopped: list[str] = []
        self.waits = True
        self.broken = False

    def start_background(self, pointer: dict[str, str]) -> None:
        """Stands in for `shared.clients.machines.start_background`: whoever comes second changes nothing."""
        if self.broken:
            raise Unavailable("The run could not be started; try again.")
        if pointer not in self.background:
            self.background.append(pointer)

    def stop_background(self, run_id: str) -> None:
        """Stands in for `shared.clients.machines.stop_background`."""
        self.stopped.append(run_id)

    def run_and_wait(self, pointer: dict[str, str]) -> bool:
        """Stands in for `shared.clients.machines.run_and_wait`."""
        if self.broken:
            raise Unavailable("The run could not be started; try again.")
        self.pointers.append(pointer)
        if not self.waits:
            return False
        self.execute(pointer)
        return True

    def start_express(self, pointer: dict[str, str]) -> None:
        """Stands in for `shared.clients.machines.start_express`: the run is over before anybody looks."""
        self.run_and_wait(pointer)

    def execute(self, pointer: dict[str, str]) -> None:
        """One execution of the machine, from start to end."""
        try:
            while (turn := self._task("call_model", pointer))["next"] != "done":
                if turn["next"] == "code":
                    self._task("call_code", pointer)
                    return
                for tool_call_id in turn["tool_call_ids"]:
                    self._task("call_tool", pointer | {"tool_call_id": tool_call_id})
        except TaskFailed as failed:
            self._task("fail_run", pointer | {"error": {"Error": failed.name, "Cause": failed.cause}})

    def _task(self, worker: str, event: dict[str, Any]) -> Any:
        attempt = 1
        while True:
            try:
                return self.invoke(worker, event)
            except TaskFailed as failed:
                if attempt >= _attempts(worker, failed.name):
                    raise
                attempt += 1

    def invoke(self, worker: str, event: dict[str, Any]) -> Any:
        """Call a worker as Lambda does: through JSON, in and out, errors by the name of their class."""
        self.invoked.append(worker)
        assert len(self.invoked) < _MOST_INVOCATIONS, "the run does not end"
        try:
            answer = load(f"agent_run/{worker}").handler(json.loads(json.dumps(event)), None)
        except WorkerDied:
            raise TaskFailed("Lambda.Unknown", "The Lambda function returned an unknown error") from None
        except Exception as error:
            cause = json.dumps({"errorMessage": str(error), "errorType": type(error).__name__, "stackTrace": []})
            raise TaskFailed(type(error).__name__, cause) from error
        return json.loads(json.dumps(answer))
