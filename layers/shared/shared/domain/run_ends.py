"""The end of a run: exactly one, whoever writes it."""

import json
from typing import Any

from shared import clock
from shared.domain import conversation
from shared.domain.run_records import Run, Status, ToolCalled, overdue, stored
from shared.errors import ConditionFailed, RunError
from shared.store import keys, run_log
from shared.store.run_log import Event, Log
from shared.store.table import Change, Put, TenantStore, Write

MAX_TEXT_BYTES = 100_000
_FINISH_ATTEMPTS = 8


def finish(
    store: TenantStore,
    run_id: str,
    status: Status,
    *,
    stop_reason: str,
    output: str | None = None,
    error: str | None = None,
    last: tuple[tuple[str, dict[str, Any]], ...] = (),
    log: Log | None = None,
) -> None:
    """End a run, once: the terminal event, the record and the session's turn in 1 transaction.

    Whoever comes second finds the run ended and changes nothing.

    Args:
        last: events that belong before the terminal one, and behind nothing but `log`.
        log: the log as the caller saw it; read anew if others wrote meanwhile.

    Raises:
        ConditionFailed: others wrote behind `log`, so that `last` has no place any more.
    """
    for _ in range(_FINISH_ATTEMPTS):
        log = log or run_log.read(store, run_id)
        seen = conversation.replay([*log.events, *(Event(0, name, data, "") for name, data in last)])
        if not log.events or seen.end is not None:
            return
        run = Run.model_validate_json(log.heads["run"])
        if overdue(run) and status == "succeeded":
            # Readers have seen it timed out already; a late success would be a second end.
            status, stop_reason, output, last = "timed_out", "max_seconds", None, ()
            error = "The run did not end within its limit."
        ended = _ended(run, seen, status, stop_reason, output, error)
        writes: list[Write] = [
            run_log.append(run_id, log.tail, [*last, _terminal(ended)]),
            Change(keys.run(run_id), doc=stored(ended), when=1),
        ]
        if status == "succeeded" and run.kind == "llm":
            turn = {"input_message": run.input_message, "output_message": output or "", "run_id": run_id}
            writes.append(Put(keys.turn(run.session_id, run_id), json.dumps(turn, ensure_ascii=False), when=None))
        try:
            store.write(*writes)
        except ConditionFailed:
            if last:
                raise
            log = None
            continue
        return
    raise RunError("The end of the run could not be written.")


def _ended(
    run: Run,
    seen: conversation.Conversation,
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
            "tools_called": calls,
            "finished_at": moment,
            "updated_at": moment,
        }
    )


def _terminal(run: Run) -> tuple[str, dict[str, Any]]:
    if run.status == "succeeded":
        tokens = {
            "prompt_tokens": run.prompt_tokens,
            "completion_tokens": run.completion_tokens,
            "total_tokens": run.total_tokens,
        }
        return "result", {"output": run.output_message, "tokens": tokens}
    return "error", {"error": run.error_message, "status": run.status, "stop_reason": run.stop_reason}
