"""docs/costs.md, dollars for a million calls of each operation: ``python -m benchmarks.costs [--check]``.

Worked out from what is committed, without measuring: the counts of benchmarks/figures.json, the memory sizes of
template.yaml, the prices of benchmarks/prices.py and the assumptions below.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from benchmarks import figures, prices
from benchmarks.figures import Figures
from local import template
from tests import generated

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "costs.md"
TARGET = "POST /runs (one tool)"
TARGET_DOLLARS = 60.0
BACKGROUND = "POST /runs (one tool, in the background)"
MILLION = 1_000_000

CPU_MS = 4.0
"""What a call of a function takes of a whole CPU. A function with less memory takes longer, see `_billed_ms`."""
AUTHORIZER_CPU_MS = 1.0
BCRYPT_MS = 300.0
REQUEST_MS = 5.0
"""One request to DynamoDB, from the function and back."""
TRANSITION_MS = 15.0
"""What Step Functions itself takes for one state."""
MODEL_MS = 1_000.0
TOOL_MS = 100.0
WHOLE_CPU_MB = 1_769
"""AWS Lambda Developer Guide, "Configure Lambda function memory"."""
EXPRESS_MB = 64
"""50 MB and the definition, in chunks of 64 MB: Step Functions' page of prices, example 4."""
SYSTEM_LOG_BYTES = 700
"""The lines `platform.start` and `platform.report` of one call, with the 26 bytes that CloudWatch adds to each."""
METRIC_LINE_BYTES = 600
READER_MS, READER_BATCH = 10.0, 10
"""The function that reads the table's stream: time for each record, and records of one call of it."""
TRACED = 0.05
"""X-Ray's rule when none is set: 5 % (and the first of each second)."""

_AUTHORIZER, _MODEL, _TOOL = "AuthorizerAuthorize", "AgentRunCallModel", "AgentRunCallTool"
_WORKERS = {_MODEL, _TOOL, "AgentRunFailRun"}
_SLOW_ON_PURPOSE = {"AuthRegister", "AuthLogin"}


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


def dollars(name: str, sizes: Mapping[str, int] | None = None) -> Dollars:
    """What a million calls of an operation cost.

    Args:
        sizes: memory of functions in MB where it is not to be the template's.
    """
    counted = figures.operations()[name]
    memory = memories() | dict(sizes or {})
    at_work = {
        function: _billed_ms(function, counted, memory[function]) for function in counted.calls if function in _WORKERS
    }
    machine_ms = sum(at_work.values()) + counted.transitions * TRANSITION_MS
    waited_for = machine_ms if counted.machine == "EXPRESS" else 0.0
    own = counted.calls.keys() - at_work.keys()
    billed = {function: _billed_ms(function, counted, memory[function]) for function in own}
    requests = sum(counted.calls[function] for function in own - {_AUTHORIZER})
    (waiting,) = (function for function in own if function != _AUTHORIZER) if waited_for else ("",)
    billed |= at_work | ({waiting: billed[waiting] + math.ceil(waited_for)} if waiting else {})
    gb_ms = sum(memory[function] * milliseconds for function, milliseconds in billed.items())
    invocations = sum(counted.calls.values())
    # For each answer of a model one line of its time and two of its tokens; one for a tool, one for the end.
    lines = 3 * counted.asked + counted.tool_calls + counted.ends
    logged = invocations * SYSTEM_LOG_BYTES + lines * METRIC_LINE_BYTES
    return Dollars(
        gateway=prices.GATEWAY_REQUEST.of(MILLION * requests),
        lambda_requests=prices.LAMBDA_REQUEST.of(MILLION * invocations),
        lambda_seconds=prices.LAMBDA_GB_SECOND.of(MILLION * gb_ms / 1024 / 1000),
        step_functions=_step_functions(counted, machine_ms),
        dynamodb=prices.READ_UNIT.of(MILLION * counted.reads) + prices.WRITE_UNIT.of(MILLION * counted.writes),
        afterwards=_afterwards(counted, memory["AuditRecord"]),
        logs=prices.LOG_BYTE.of(MILLION * logged) + prices.TRACE.of(MILLION * requests * TRACED),
    )


def _billed_ms(function: str, counted: Figures, memory_mb: int) -> int:
    """Milliseconds of all calls of a function: its processor's time at the share of a CPU that the memory brings, its
    requests to DynamoDB, and for a worker the answers of models and tools."""
    calls = counted.calls[function]
    cpu_ms = (AUTHORIZER_CPU_MS if function == _AUTHORIZER else CPU_MS) * calls
    cpu_ms += BCRYPT_MS if function in _SLOW_ON_PURPOSE else 0
    waiting_ms = counted.requests.get(function, 0) * REQUEST_MS
    waiting_ms += counted.asked * MODEL_MS if function == _MODEL else 0
    waiting_ms += counted.tool_calls * TOOL_MS if function == _TOOL else 0
    return calls * math.ceil((cpu_ms * max(1.0, WHOLE_CPU_MB / memory_mb) + waiting_ms) / calls)


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
    calls, milliseconds = len(written) / READER_BATCH, len(written) * READER_MS
    return (
        prices.WRITE_UNIT.of(MILLION * sum(written))
        + prices.LAMBDA_REQUEST.of(MILLION * calls)
        + prices.LAMBDA_GB_SECOND.of(MILLION * memory_mb / 1024 * milliseconds / 1000)
        + prices.LOG_BYTE.of(MILLION * calls * SYSTEM_LOG_BYTES)
    )


_HEAD = f"""# What calls cost

Generated by `python -m benchmarks.costs`; do not edit. Dollars for a million calls, worked out from the requests and
units that [access-patterns.md](access-patterns.md) counts, the memory sizes of template.yaml and the prices below. It
measures nothing: times are assumptions, and no account has paid these bills.

Counted exactly: requests and units of DynamoDB, calls of functions, state transitions. Assumed:

- A call of a function takes {CPU_MS:g} ms of a whole CPU (the authorizer {AUTHORIZER_CPU_MS:g} ms, a password's hash
  {BCRYPT_MS:g} ms more), as much longer as its memory is below {WHOLE_CPU_MB:,} MB; a request to DynamoDB
  {REQUEST_MS:g} ms, a state transition {TRANSITION_MS:g} ms, a model's answer {MODEL_MS:g} ms, a tool's
  {TOOL_MS:g} ms. While a run goes on, the function that was called waits and is paid for.
- Environments are warm, keys are known to the authorizer, tenants have no limits, nothing is tried again. A second of
  cold start at 512 MB costs as much as a second of any other call: $6.67 for a million of them.
- Log bytes are an estimate: {SYSTEM_LOG_BYTES} for each call of a function (Lambda's own lines) and
  {METRIC_LINE_BYTES} for each line of metrics. X-Ray records {TRACED:.0%} of the calls.
- Afterwards: the reader of the table's stream writes the audit record and the figures; {READER_BATCH} records a call,
  {READER_MS:g} ms each.
- Not in it: the model's own price, data sent to the internet, free tiers, tiers of large amounts, and what costs the
  same without a call: storage, backups, alarms, metrics' series, secrets. A new tenant's gateway key is not either (3
  requests of SQS and a call of the function that makes it).
"""


def page() -> str:
    """The text of docs/costs.md."""
    target = dollars(TARGET)
    verdict = "met" if target.share <= TARGET_DOLLARS else "not met"
    lines = [
        _HEAD,
        "## A million synchronous runs with one tool",
        "",
        f"Two answers of a model, {MODEL_MS:g} ms each. Target for the platform's share (API Gateway, Lambda, Step",
        f"Functions, DynamoDB): at most ${TARGET_DOLLARS:.2f}. It is **${target.share:.2f}: {verdict}**; "
        f"${target.total:.2f} with what comes afterwards, logs and traces.",
        "",
        "| part | dollars |",
        "|---|---|",
        *(f"| {field.name.replace('_', ' ')} | {getattr(target, field.name):.2f} |" for field in fields(target)),
        "",
        "What other memory sizes would make of it, if the waiting stays the same:",
        "",
        "| RunsStart | call_model, call_tool | platform's share |",
        "|---|---|---|",
        *(_with_sizes(start, worker) for start in (512, 256) for worker in (1024, 768, 512)),
        "",
        f"In the background the machine is STANDARD, whose transitions cost "
        f"${dollars(BACKGROUND).step_functions:.2f}, in place of the line step functions.",
        "",
        "## Each operation",
        "",
        "| operation | calls of functions | transitions | API Gateway | Lambda | Step Functions | DynamoDB "
        "| afterwards | logs, traces | sum |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(name) for name in figures.operations()),
        "",
        "## Prices",
        "",
        f"{prices.REGION}, list prices on demand, {prices.CHECKED}.",
        "",
        "| what | dollars | for | AWS's page | read in |",
        "|---|---|---|---|---|",
        *(f"| {p.what} | {p.dollars:g} | {p.per:,} | <{p.page}> | {p.source} |" for p in prices.ALL),
    ]
    return "\n".join(lines) + "\n"


def _with_sizes(start: int, worker: int) -> str:
    sizes = {"RunsStart": start, "AgentRunCallModel": worker, "AgentRunCallTool": worker}
    return f"| {start} MB | {worker} MB | {dollars(TARGET, sizes).share:.2f} |"


def _row(name: str) -> str:
    cost, counted = dollars(name), figures.operations()[name]
    parts = (cost.gateway, cost.lambda_requests + cost.lambda_seconds, cost.step_functions, cost.dynamodb)
    shown = " | ".join(f"{part:.2f}" for part in (*parts, cost.afterwards, cost.logs, cost.total))
    return f"| {name} | {sum(counted.calls.values())} | {counted.transitions} | {shown} |"


if __name__ == "__main__":
    sys.exit(generated.main("benchmarks.costs", DOCUMENT, page, "from the figures, the sizes and the prices"))
