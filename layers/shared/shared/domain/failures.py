"""What the state machine caught, told as the end of a run."""

import json

from shared import errors
from shared.domain import run_ends
from shared.domain.run_records import Status
from shared.errors import RunError
from shared.store.table import TenantStore

_TIMEOUTS = {"States.Timeout", "Sandbox.Timedout", "States.HeartbeatTimeout"}


def end(store: TenantStore, run_id: str, name: str, cause: str) -> None:
    """End a run that failed; a run that has ended already stays as it is.

    Args:
        name: the error name that the machine caught.
        cause: its cause; for an error of a worker, the JSON that Lambda makes of the exception.
    """
    status, stop_reason, message = told(name, cause)
    run_ends.finish(store, run_id, status, stop_reason=stop_reason, error=message)


def told(name: str, cause: str) -> tuple[Status, str, str]:
    """Status, stop reason and message of a run that ended with this error.

    Only our own errors are quoted: what else a worker may have died of is in the logs, not in the run.
    """
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, RunError):
        message = _message(cause)
        if kind is errors.LimitExceeded:
            limit = message.partition(":")[0]
            return ("timed_out" if limit == "max_seconds" else "failed"), limit, message
        return "failed", kind.stop_reason, message
    if name in _TIMEOUTS:
        return "timed_out", "timeout", "A step of the run did not end in time."
    return "failed", "error", f"The platform could not go on with the run ({name[:100]})."


def _message(cause: str) -> str:
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause[:500]
