"""docs/costs.md, dollars for a million calls of each operation: ``python -m benchmarks.costs [--check]``.

Worked out from what is committed, without measuring: the counts of benchmarks/figures.json, the times of
benchmarks/results.json, the sizes of template.yaml, the prices of benchmarks/prices.py and the assumptions below.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks import figures, prices, results
from benchmarks.figures import Figures
from local import template
from tests import generated

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "costs.md"
TARGET = "POST /runs (one tool)"
TARGET_DOLLARS = 60.0
BACKGROUND = "POST /runs (one tool, in the background)"
MILLION = 1_000_000

REQUEST_MS = 5.0
"""One request to DynamoDB, from the function and back; 2026-11-21."""
TRANSITION_MS = 15.0
"""What Step Functions itself takes for one state."""
MODEL_MS = 1_000.0
TOOL_MS = 100.0
SANDBOX_MS = 300.0
"""What a run of an agent's own code takes beside the agent: docs/decisions/0027-the-sandbox.md, the middle."""
WHOLE_CPU_MB = 1_769
"""AWS Lambda Developer Guide, "Configure Lambda function memory"."""
EXPRESS_MB = 64
"""50 MB and the definition, in chunks of 64 MB: Step Functions' page of prices, example 4."""
SYSTEM_LOG_BYTES = 700
"""The lines `platform.start` and `platform.report` of one call, with the 26 bytes that CloudWatch adds to each."""
METRIC_LINE_BYTES = 600
READER_BATCH = 10
"""Records of one call of the function that reads the table's stream."""
TRACED = 0.05
"""X-Ray's rule when none is set: 5 % (and the first of each second)."""

_AUTHORIZER, _MODEL, _TOOL = "AuthorizerAuthorize", "AgentRunCallModel", "AgentRunCallTool"
_CODE, _RUNNER = "AgentRunCallCode", "CodeRunnerRun"
_WORKERS = {_MODEL, _TOOL, _CODE, "AgentRunFailRun"}
_READER = "AuditRecord"
# They run behind an adapter, which the runtime's emulator has not; and what follows is the looks' time.
_LIKE = {
    "RunStreamStart": "RunsStart",
    "RunStreamFollow": "RunsGet",
    "UploadsCreate": "AgentsCreate",
    "UploadsGet": "AgentsGet",
    "LogsAdd": "AgentsCreate",
    "LogsList": "AgentsList",
    "LogsListOfAgent": "AgentsList",
    "LogsListOfExecution": "AgentsList",
    _CODE: _TOOL,
}


@dataclass(frozen=True, slots=True)
class Dollars:
    """What one call costs, by service, in dollars for a million."""

    gateway: float
    lambda_requests: float
    lambda_seconds: float
    step_functions: float
    dynamodb: float
    afterwards: float
    logs: float

    @property
    def share(self) -> float:
        """What the target speaks of: all but logs, traces and what the stream's reader does afterwards."""
        return self.gateway + self.lambda_requests + self.lambda_seconds + self.step_functions + self.dynamodb

    @property
    def total(self) -> float:
        return self.share + self.afterwards + self.logs


@cache
def memories() -> dict[str, int]:
    """Memory of each function in MB, by logical id."""
    read = template.load(ROOT / "template.yaml")
    default = read["Globals"]["Function"]["MemorySize"]
    return {
        name: resource["Properties"].get("MemorySize", default)
        for name, resource in read["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _measured() -> dict[str, float]:
    return {row["function"]: row["cpu_ms"] for row in results.kept("warm")["rows"]}


def cpu_ms(function: str) -> float:
    """What a call of a function takes of a whole CPU, as benchmarks/warm.py measured it.

    Raises:
        KeyError: nobody has measured it.
    """
    return SANDBOX_MS if function == _RUNNER else _measured()[_LIKE.get(function, function)]


def own_ms(function: str, memory_mb: int) -> float:
    """How long a call works by itself, with the share of a CPU that its memory brings."""
    return cpu_ms(function) * max(1.0, WHOLE_CPU_MB / memory_mb)


def billed(name: str, sizes: Mapping[str, int] | None = None) -> dict[str, int]:
    """Milliseconds of all calls of each function in an operation: their own work and all that they wait for.

    Args:
        sizes: memory of functions in MB where it is not to be the template's.
    """
    counted, memory = figures.operations()[name], memories() | dict(sizes or {})
    found = {function: _without_the_run(function, counted, memory[function]) for function in counted.calls}
    if _CODE in found:
        found[_CODE] += found[_RUNNER]
    if counted.machine == "EXPRESS":
        (waits,) = found.keys() - _WORKERS - {_AUTHORIZER, _RUNNER}
        found[waits] += math.ceil(_machine_ms(counted, found))
    return found


def _machine_ms(counted: Figures, found: Mapping[str, int]) -> float:
    at_work = sum(milliseconds for function, milliseconds in found.items() if function in _WORKERS)
    return at_work + counted.transitions * TRANSITION_MS


def _without_the_run(function: str, counted: Figures, memory_mb: int) -> int:
    calls = counted.calls[function]
    waiting_ms = counted.requests.get(function, 0) * REQUEST_MS
    waiting_ms += counted.asked * MODEL_MS if function == _MODEL else 0
    waiting_ms += counted.tool_calls * TOOL_MS if function == _TOOL else 0
    return calls * math.ceil(own_ms(function, memory_mb) + waiting_ms / calls)


def dollars(name: str, sizes: Mapping[str, int] | None = None) -> Dollars:
    """What a million calls of an operation cost.

    Args:
        sizes: as in `billed`.
    """
    counted, memory, found = figures.operations()[name], memories() | dict(sizes or {}), billed(name, sizes)
    gb_ms = sum(memory[function] * milliseconds for function, milliseconds in found.items())
    invocations = sum(counted.calls.values())
    requests = sum(
        number for function, number in counted.calls.items() if function not in {*_WORKERS, _AUTHORIZER, _RUNNER}
    )
    # For each answer of a model one line of its time and two of its tokens; one for a tool, one for the end.
    lines = 3 * counted.asked + counted.tool_calls + counted.ends
    logged = invocations * SYSTEM_LOG_BYTES + lines * METRIC_LINE_BYTES
    return Dollars(
        gateway=prices.GATEWAY_REQUEST.of(MILLION * requests),
        lambda_requests=prices.LAMBDA_REQUEST.of(MILLION * invocations),
        lambda_seconds=prices.LAMBDA_GB_SECOND.of(MILLION * gb_ms / 1024 / 1000),
        step_functions=_step_functions(counted, _machine_ms(counted, found)),
        dynamodb=prices.READ_UNIT.of(MILLION * counted.reads) + prices.WRITE_UNIT.of(MILLION * counted.writes),
        afterwards=_afterwards(counted, memory[_READER]),
        logs=prices.LOG_BYTE.of(MILLION * logged) + prices.TRACE.of(MILLION * requests * TRACED),
    )


def _step_functions(counted: Figures, machine_ms: float) -> float:
    if counted.machine == "STANDARD":
        return prices.STANDARD_TRANSITION.of(MILLION * counted.transitions)
    if counted.machine is None:
        return 0.0
    seconds = math.ceil(machine_ms / 100) / 10
    return prices.EXPRESS_REQUEST.of(MILLION) + prices.EXPRESS_GB_SECOND.of(MILLION * seconds * EXPRESS_MB / 1024)


def _afterwards(counted: Figures, memory_mb: int) -> float:
    """Dollars of the stream's reader: the audit record of a change, the figures of a run's end and of a tool's call."""
    # A transaction of two items for the end, an item for each call of a tool.
    written = [1] * counted.stamps + [4] * counted.ends + [1] * counted.tool_calls
    calls, milliseconds = len(written) / READER_BATCH, len(written) * reader_ms(memory_mb)
    return (
        prices.WRITE_UNIT.of(MILLION * sum(written))
        + prices.LAMBDA_REQUEST.of(MILLION * calls)
        + prices.LAMBDA_GB_SECOND.of(MILLION * memory_mb / 1024 * milliseconds / 1000)
        + prices.LOG_BYTE.of(MILLION * calls * SYSTEM_LOG_BYTES)
    )


def reader_ms(memory_mb: int) -> float:
    """What the stream's reader takes for one record: its event has so many, and each is a request."""
    records = json.loads((ROOT / "events/audit/record.json").read_text())["Records"]
    return own_ms(_READER, memory_mb) / len(records) + REQUEST_MS


def main() -> int:
    """The command line; the exit code is 1 if the page is to be kept and drifts."""
    from benchmarks import costs_page

    return generated.main("benchmarks.costs", DOCUMENT, costs_page.page, "from the figures, the times and the prices")


if __name__ == "__main__":
    sys.exit(main())
