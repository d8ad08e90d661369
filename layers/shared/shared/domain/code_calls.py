"""A run of an agent's own code: the task is handed to the function that runs it, and its answer written down.

The code has no network and no storage, so what it does cannot be done twice: a task that failed in passing is handed
over again.
"""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, get_args

from shared import clock
from shared.clients import code_runner, objects
from shared.domain import agent_logs, conversation, run_ends, runs
from shared.domain.agent_logs import Level, Line
from shared.domain.code_tasks import Answer, AnswerStatus, Task
from shared.domain.leaves import Leave
from shared.domain.plans import PlannedCode
from shared.domain.run_records import Run, Status, read
from shared.errors import ConditionFailed, LimitExceeded, RunCancelled, RunnerUnavailable
from shared.sandbox.results import BadResult, checked, parsed
from shared.store import keys
from shared.store.run_log import Log
from shared.store.table import TenantStore
from shared.telemetry import log_context, logger

_ADDRESS_SECONDS = 60
LOOK_SECONDS = 1.0
_MAX_ERROR_CHARACTERS = 2_300
_NOTHING = hashlib.sha256(b"").hexdigest()
_LEVELS = frozenset(get_args(Level))
_LATEST = 10_000_000_000.0
"""In seconds since 1970: the year 2286."""


def call(store: TenantStore, run_id: str) -> None:
    """Take a run of an agent's own code to its end; nothing if it has ended.

    Raises:
        RunCancelled: there is no such run, or it was ended before the code was called.
        LimitExceeded: its time is over.
        RunnerUnavailable: see `shared.clients.code_runner.invoke`.
    """
    leave = Leave(store, run_id)
    log, run, plan = runs.open_log(store, run_id)
    log_context(trace_id=run.trace_id)
    if plan.code is None or conversation.replay(log.events).end is not None:
        return
    seconds = min(plan.code.seconds, clock.seconds_until(plan.deadline_at))
    if seconds <= 0:
        raise LimitExceeded(f"max_seconds: the run did not end within {plan.limits.max_seconds} seconds.")
    stop = f"stops/{store.tenant_id}/{run_id}"
    task = Task(
        bundle=objects.link(plan.code.key, "bundle.tar.gz", _ADDRESS_SECONDS),
        stop=objects.link(stop, "stop", _ADDRESS_SECONDS),
        entrypoint=plan.code.entrypoint,
        payload=json.loads(run.input_message) if run.input_is_json else {"input": run.input_message},
        seconds=seconds,
        memory=plan.code.memory,
    )
    leave.check()
    _write_down(store, run, plan.code, log, _carried_out(store, run_id, task, stop))


def _carried_out(store: TenantStore, run_id: str, task: Task, stop: str) -> Answer:
    """The answer to a task. Should the run end meanwhile, the code is told to stop: an object lies where it looks."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        asked = pool.submit(code_runner.invoke, store.tenant_id, asdict(task))
        while not wait([asked], timeout=LOOK_SECONDS).done:
            item = store.get(keys.run(run_id))
            if item is None or read(item.doc).ended:
                objects.put(stop, b"", "text/plain", _NOTHING)
                break
        said = asked.result()
    return _answer(said)


def _answer(said: dict[str, Any]) -> Answer:
    """The runner's answer, read with care: it comes from where a stranger's code ran.

    Raises:
        RunnerUnavailable: it is none.
    """
    try:
        answer = Answer(**said)
        result = None
        if answer.result is not None:
            result = checked(parsed(b'{"result":%b}' % answer.result.encode())["result"], run_ends.MAX_TEXT_BYTES)
        lines = [(float(at), str(level), str(text)) for at, level, text in answer.lines[: agent_logs.MAX_LINES + 1]]
        if (answer.status, result) == ("succeeded", None) or answer.status not in get_args(AnswerStatus):
            raise BadResult("no end")
        if not isinstance(answer.reason, str) or not all(0 <= at < _LATEST for at, _, _ in lines):
            raise BadResult("no reason, or no times")
        return Answer(
            answer.status,
            answer.reason[:50],
            result if answer.status == "succeeded" else None,
            None if answer.error is None else str(answer.error)[:_MAX_ERROR_CHARACTERS],
            lines,
            [str(wall)[:50] for wall in answer.walls[:10]],
            int(answer.duration_ms),
        )
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise RunnerUnavailable("The function that runs agents' code did not answer as it should.") from error


def _write_down(store: TenantStore, run: Run, code: PlannedCode, log: Log, answer: Answer) -> None:
    said = {"execution_id": run.id, "agent_version_id": code.version_id, "status": answer.status}
    for write in agent_logs.batches(run.agent_id or "", "runtime", _lines(run, answer), said, run.id):
        store.write(write)
    if answer.status == "cancelled":
        # Whoever cancelled the run has written its end.
        raise RunCancelled("The run is over.")
    if answer.reason == "sandbox_failed":
        logger.error("no sandbox", extra={"error": answer.error})
    output, is_json = _output(answer)
    last: list[tuple[str, dict[str, Any]]] = [
        ("code.completed", {"reason": answer.reason, "duration_ms": answer.duration_ms, "walls": answer.walls})
    ]
    if output is not None:
        last.append(("message.completed", {"step": 1, "content": output, "tool_calls": []}))
    status: Status = answer.status
    stop_reason = "completed" if status == "succeeded" else answer.reason
    try:
        run_ends.finish(
            store,
            run.id,
            status,
            stop_reason=stop_reason,
            output=output,
            output_is_json=is_json,
            error=answer.error,
            last=tuple(last),
            log=log,
        )
    except ConditionFailed:
        # It was ended meanwhile, or another copy of this worker was faster: what stands in the log holds.
        return


def _output(answer: Answer) -> tuple[str | None, bool]:
    """The output of the run: a text as it is, anything else as JSON; and whether it is that."""
    if answer.status != "succeeded" or answer.result is None:
        return None, False
    value = json.loads(answer.result)
    return (value, False) if isinstance(value, str) else (answer.result, True)


def _lines(run: Run, answer: Answer) -> list[Line]:
    """What the agent wrote, then how its run ended."""
    lines = []
    for at, level, text in answer.lines:
        known: Any = level if level in _LEVELS else "INFO"
        lines.append(agent_logs.line(text, known)._replace(timestamp=clock.iso(datetime.fromtimestamp(at, UTC))))
    if answer.status == "succeeded":
        return [*lines, agent_logs.line(f"Execution {run.id} completed successfully")]
    told = f"Execution {run.id} ended: {answer.reason}. {answer.error or ''}".strip()
    return [*lines, agent_logs.line(told, "WARNING" if answer.status == "cancelled" else "ERROR")]
