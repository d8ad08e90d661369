"""The end of a run: exactly one, whoever writes it."""

import contextlib
import json
from typing import Any

from shared import clock, metrics
from shared.domain import conversation, prices, session_heads
from shared.domain.prices import Price
from shared.domain.run_records import Run, Status, ToolCalled, overdue, stored
from shared.errors import ConditionFailed, RunError, TableBusy
from shared.store import keys, run_log
from shared.store.races import step_aside
from shared.store.run_log import Event, Log
from shared.store.table import Change, TenantStore, Write
from shared.telemetry import measure

MAX_TEXT_BYTES = 100_000
_FINISH_ATTEMPTS = 40
_LOG, _RECORD = 0, 1


def finish(
    store: TenantStore,
    run_id: str,
    status: Status,
    *,
    stop_reason: str,
    output: str | None = None,
    output_is_json: bool = False,
    error: str | None = None,
    last: tuple[tuple[str, dict[str, Any]], ...] = (),
    log: Log | None = None,
) -> Run | None:
    """End a run, once: the terminal event, the record, and the session's turn and lock in 1 transaction.

    Whoever comes second finds the run ended and changes nothing.

    Args:
        output_is_json: the output is the JSON of what an agent's own code returned.
        last: events that belong before the terminal one, and behind nothing but `log`.
        log: the log as the caller saw it; read anew if others wrote meanwhile.

    Returns:
        The run as this call ended it, which is `timed_out` if its time was over; None if it had ended, or not begun.

    Raises:
        ConditionFailed: others wrote behind `log`, so that `last` has no place any more.
    """
    in_session = False
    for attempt in range(_FINISH_ATTEMPTS):
        log = log or run_log.read(store, run_id)
        seen = conversation.replay([*log.events, *(Event(0, name, data, "") for name, data in last)])
        if not log.events or seen.end is not None:
            return None
        run = Run.model_validate_json(log.heads["run"])
        if overdue(run) and status in {"succeeded", "cancelled"}:
            # Readers have seen it timed out already; a late success would be a second end.
            status, stop_reason, output, last = "timed_out", "max_seconds", None, ()
            error = "The run did not end within its limit."
        ended = _ended(run, seen, _price(log), status, stop_reason, output, error)
        ended = ended.model_copy(update={"output_is_json": output_is_json and output is not None})
        in_session = in_session or run.session_id != run.id
        writes: list[Write] = [
            run_log.append(run_id, log.tail, [*last, terminal(ended)]),
            # A run without a session of its own has version 1 until another run joins it in one (`session_queue`).
            Change(keys.run(run_id), doc=stored(ended), when=None if in_session else 1, lists=ended.lists),
        ]
        try:
            store.write(*writes, *(session_heads.leave(store, ended) if in_session else ()))
        except ConditionFailed as refused:
            if _LOG in refused.failed:
                if last:
                    raise
                log = None
            # Else the log stands, and the session has changed: it is read anew.
            in_session = in_session or _RECORD in refused.failed
            step_aside(attempt)
        except TableBusy:
            step_aside(attempt, 0.02)
        else:
            count(ended)
            return ended
    raise RunError("The end of the run could not be written.")


def mend(store: TenantStore, run_id: str) -> None:
    """Write the record of a run as its log tells it has ended, if the record does not know; 1 read and 1 write.

    So it is if the request that began the run, sent twice, came through once more behind the run's end.
    """
    log = run_log.read(store, run_id)
    seen = conversation.replay(log.events)
    if seen.end is None:
        return
    end = log.events[-1]
    told = {name: end.data.get(name) for name in ("status", "stop_reason", "output", "error")}
    run = Run.model_validate_json(log.heads["run"])
    ended = _ended(
        run,
        seen,
        _price(log),
        told["status"] or "succeeded",
        told["stop_reason"] or "completed",
        told["output"],
        told["error"],
    )
    ended = ended.model_copy(update={"finished_at": end.created_at, "updated_at": end.created_at})
    with contextlib.suppress(ConditionFailed):
        store.write(Change(keys.run(run_id), doc=stored(ended), when=1, lists=ended.lists))


def count(run: Run) -> None:
    """Say in the metrics that a run has ended: for whoever wrote its end, and nobody else."""
    if run.test:
        return
    values: dict[metrics.Metric, float] = {metrics.RUNS_FINISHED: 1}
    if run.started_at and run.finished_at and run.kind == "llm":
        values[metrics.AGENT_DURATION] = clock.seconds_between(run.started_at, run.finished_at)
    error = run.stop_reason if run.status in {"failed", "timed_out"} else None
    ids = {"tenant_id": run.tenant_id, "run_id": run.id, "trace_id": run.trace_id}
    measure(values, {"run.status": run.status}, error=error, **ids)


def _price(log: Log) -> Price | None:
    """The price of the run's model, as it was when the run began."""
    found = json.loads(log.heads["plan"]).get("price")
    return Price(**found) if found else None


def _ended(
    run: Run,
    seen: conversation.Conversation,
    price: Price | None,
    status: Status,
    stop_reason: str,
    output: str | None,
    error: str | None,
) -> Run:
    moment = clock.now()
    calls = [
        ToolCalled(
            name=call.name,
            tool_call_id=call.id,
            args=conversation.arguments_of(call),
            status=call.status if call.ended else "unknown" if call.status == "started" else "skipped",
            duration_ms=call.duration_ms,
        )
        for call in seen.calls.values()
    ]
    if len(json.dumps([call.args for call in calls], ensure_ascii=False).encode()) > MAX_TEXT_BYTES:
        calls = [call.model_copy(update={"args": {}}) for call in calls]
    return run.model_copy(
        update={
            "status": status,
            "stop_reason": stop_reason,
            "output_message": output,
            "error_message": error,
            "prompt_tokens": seen.prompt_tokens if seen.counted else None,
            "completion_tokens": seen.completion_tokens if seen.counted else None,
            "total_tokens": seen.total_tokens if seen.counted else None,
            "cost_usd": prices.dollars(price.of(seen.prompt_tokens, seen.completion_tokens))
            if price and seen.counted
            else None,
            "tools_called": calls,
            "finished_at": moment,
            "updated_at": moment,
        }
    )


def terminal(run: Run) -> tuple[str, dict[str, Any]]:
    """The last event of a run that has ended."""
    if run.status == "succeeded":
        tokens = {
            "prompt_tokens": run.prompt_tokens,
            "completion_tokens": run.completion_tokens,
            "total_tokens": run.total_tokens,
        }
        return "result", {"output": run.output_message, "tokens": tokens}
    if run.status == "cancelled":
        return "cancelled", {"status": run.status, "stop_reason": run.stop_reason}
    return "error", {"error": run.error_message, "status": run.status, "stop_reason": run.stop_reason}
