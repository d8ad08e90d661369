"""docs/costs.md, dollars for a million calls of each operation: ``python -m benchmarks.costs [--check]``.

Worked out from what is committed, without measuring: the counts of docs/access-patterns.md, the memory sizes of
template.yaml, the prices of benchmarks/prices.py and the assumptions below.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from benchmarks import prices
from local import template

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "costs.md"
TARGET = "POST /runs (one tool)"
TARGET_DOLLARS = 60.0
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

_ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
_SLOW_ON_PURPOSE = {"AuthRegister", "AuthLogin"}
_CHANGES = ("POST ", "PUT ", "PATCH ", "DELETE ")


@dataclass(frozen=True, slots=True)
class Steps:
    """What the machine does in one run.

    Attributes:
        turns: calls of the worker `call_model`; `asked`: how many of them ask a model.
        calls: calls of the worker `call_tool`.
        transitions: states that are entered.
    """

    turns: int
    asked: int
    calls: int
    transitions: int

    @property
    def workers(self) -> int:
        return self.turns + self.calls

    @property
    def requests(self) -> int:
        """Requests to DynamoDB of the workers, as docs/access-patterns.md lists them."""
        return 2 * self.turns + 3 * self.calls


ONE_TOOL = Steps(turns=2, asked=2, calls=1, transitions=6)
NO_TOOL = Steps(turns=1, asked=1, calls=0, transitions=3)
TOOL_ALONE = Steps(turns=2, asked=0, calls=1, transitions=6)


@dataclass(frozen=True, slots=True)
class Counts:
    """One row of docs/access-patterns.md: requests and units of DynamoDB."""

    keys: str
    requests: int
    reads: int
    writes: int


@dataclass(frozen=True, slots=True)
class Dollars:
    """What one call costs, by service, in dollars for a million."""

    gateway: float
    lambda_requests: float
    lambda_seconds: float
    express: float
    dynamodb: float
    afterwards: float
    logs: float

    @property
    def share(self) -> float:
        """What the target speaks of: all but logs, traces and what the stream's reader does afterwards."""
        return self.gateway + self.lambda_requests + self.lambda_seconds + self.express + self.dynamodb

    @property
    def total(self) -> float:
        return self.share + self.afterwards + self.logs


@cache
def counts() -> dict[str, Counts]:
    """Every counted operation, by its name in docs/access-patterns.md."""
    rows = _ROW.findall((ROOT / "docs" / "access-patterns.md").read_text())
    return {name: Counts(keys, int(a), int(b), int(c)) for name, keys, a, b, c in rows}


def steps(name: str) -> Steps | None:
    """What the machine does when this operation is called; `None` if it starts none that the caller waits for."""
    if name.startswith("POST /runs (one tool"):
        return ONE_TOOL
    if name.startswith("POST /runs (no tool"):
        return NO_TOOL
    return TOOL_ALONE if name == "POST /tools/{id}/execute" else None


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


@cache
def _routes() -> dict[str, tuple[str, bool]]:
    """The function of each route, and whether the gateway asks the authorizer first; parameters stand as ``{}``."""
    found = {}
    for path, methods in json.loads((ROOT / "api.json").read_text())["paths"].items():
        for method, operation in methods.items():
            uri = json.dumps(operation["x-amazon-apigateway-integration"].get("uri", ""))
            if function := re.search(r"functions/\$\{(\w+)\.Arn\}", uri):
                route = f"{method.upper()} {re.sub(r'{[^}]+}', '{}', path)}"
                found[route] = (function[1], bool(operation["security"]))
    return found


def function_of(name: str) -> tuple[str, bool]:
    """The function behind an operation of docs/access-patterns.md, and whether the authorizer comes before it.

    Raises:
        KeyError: api.json has no such route.
    """
    return _routes()[re.sub(r"{[^}]+}", "{}", re.sub(r"[?(].*", "", name).strip())]


def _billed_ms(cpu_ms: float, memory_mb: int, waiting_ms: float = 0) -> int:
    """Milliseconds of one call: its processor's time at the share of a CPU that the memory brings, and its waiting."""
    return math.ceil(cpu_ms * max(1.0, WHOLE_CPU_MB / memory_mb) + waiting_ms)


def dollars(name: str, sizes: Mapping[str, int] | None = None) -> Dollars:
    """What a million calls of an operation cost.

    Args:
        sizes: memory of functions in MB where it is not to be the template's.
    """
    counted, run = counts()[name], steps(name)
    memory = memories() | dict(sizes or {})
    function, authorized = function_of(name)
    invocations, gb_ms, machine_ms, worker_requests, lines = 1, 0.0, 0.0, 0, 0
    if authorized:
        invocations += 1
        gb_ms += memory["AuthorizerAuthorize"] * _billed_ms(AUTHORIZER_CPU_MS, memory["AuthorizerAuthorize"])
    if run:
        invocations += run.workers
        worker_requests = run.requests
        model, tool = memory["AgentRunCallModel"], memory["AgentRunCallTool"]
        idle = run.turns - run.asked
        times = [_billed_ms(CPU_MS, model, MODEL_MS + 2 * REQUEST_MS)] * run.asked
        times += [_billed_ms(CPU_MS, model, 2 * REQUEST_MS)] * idle
        gb_ms += model * sum(times)
        calls = [_billed_ms(CPU_MS, tool, TOOL_MS + 3 * REQUEST_MS)] * run.calls
        gb_ms += tool * sum(calls)
        machine_ms = sum(times) + sum(calls) + run.transitions * TRANSITION_MS
        # For each answer of a model one line of its time and two of its tokens; one for a tool, one for the end.
        lines = 3 * run.asked + run.calls + 1
    own = CPU_MS + (BCRYPT_MS if function in _SLOW_ON_PURPOSE else 0)
    waiting = machine_ms + (counted.requests - worker_requests) * REQUEST_MS
    gb_ms += memory[function] * _billed_ms(own, memory[function], waiting)
    express = 0.0
    if run:
        billed = math.ceil(machine_ms / 100) / 10
        express = prices.EXPRESS_REQUEST.of(MILLION)
        express += prices.EXPRESS_GB_SECOND.of(MILLION * billed * EXPRESS_MB / 1024)
    logged = invocations * SYSTEM_LOG_BYTES + lines * METRIC_LINE_BYTES
    return Dollars(
        gateway=prices.GATEWAY_REQUEST.of(MILLION),
        lambda_requests=prices.LAMBDA_REQUEST.of(MILLION * invocations),
        lambda_seconds=prices.LAMBDA_GB_SECOND.of(MILLION * gb_ms / 1024 / 1000),
        express=express,
        dynamodb=prices.READ_UNIT.of(MILLION * counted.reads) + prices.WRITE_UNIT.of(MILLION * counted.writes),
        afterwards=_afterwards(name, counted, run, memory["AuditRecord"]),
        logs=prices.LOG_BYTE.of(MILLION * logged) + prices.TRACE.of(MILLION * TRACED),
    )


def _afterwards(name: str, counted: Counts, run: Steps | None, memory_mb: int) -> float:
    """Dollars of the stream's reader: the audit record of a change, the figures of a run's end and of a tool's call."""
    written = [1] if name.startswith(_CHANGES) and "AUDIT" not in counted.keys and "audit" not in counted.keys else []
    if run:
        # A transaction of two items for the end, an item for each call of a tool.
        written += [4] + [1] * run.calls
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
        f"In the background the machine is STANDARD: {ONE_TOOL.transitions} transitions cost "
        f"${prices.STANDARD_TRANSITION.of(MILLION * ONE_TOOL.transitions):.2f}, in place of the line express.",
        "",
        "## Each operation",
        "",
        "| operation | calls of functions | transitions | API Gateway | Lambda | Step Functions | DynamoDB "
        "| afterwards | logs, traces | sum |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(name) for name in counts()),
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
    cost, run = dollars(name), steps(name)
    calls = 1 + function_of(name)[1] + (run.workers if run else 0)
    parts = (cost.gateway, cost.lambda_requests + cost.lambda_seconds, cost.express, cost.dynamodb)
    shown = " | ".join(f"{part:.2f}" for part in (*parts, cost.afterwards, cost.logs, cost.total))
    return f"| {name} | {calls} | {run.transitions if run else 0} | {shown} |"


def main() -> int:
    """Write the page, or say whether it is up to date; the exit code is 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs", description="Generate docs/costs.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file drifts")
    text = page()
    if parser.parse_args().check:
        if DOCUMENT.read_text() != text:
            print("docs/costs.md drifts: run 'python -m benchmarks.costs'.", file=sys.stderr)
            return 1
        return 0
    DOCUMENT.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
