"""Every error that the platform raises on purpose.

    PlatformError                      something a caller can be told (status, code, detail)
    |-- BadRequest             400     malformed JSON, cursor, header
    |-- Unauthorized           401     no credentials, or none that hold
    |-- Forbidden              403     the caller lacks a scope
    |-- NotFound               404     unknown here: never existed, deleted, or another tenant's
    |-- Conflict               409     the state of the thing forbids it
    |   |-- NameTaken          409
    |   |-- VersionConflict    409     If-Match named another version, or two updates met
    |   `-- InFlight           409     a request with this Idempotency-Key is still running
    |-- PayloadTooLarge        413     the body is larger than any route takes
    |-- Unprocessable          422     well formed, but not acceptable; may carry `errors`
    |-- RateLimited            429     a limit is used up for now; `Retry-After` says until when
    `-- Unavailable            503     something behind us does not answer; try again
    RunError                           ends one attempt of a run; Step Functions matches the class name
    |-- ModelUnavailable               the provider failed in passing: Retry
    |-- ModelRejected                  the provider refused this request for good: Catch
    |-- RunnerUnavailable              the function that runs agents' code failed in passing: Retry
    |-- RunCancelled                   the run is over already: Catch
    `-- LimitExceeded                  steps, tokens or seconds are used up: Catch
    ToolError                          one tool call failed; goes back to the model, never ends the run
    BuildFailed                        an upload cannot be built; its version says why in `build_log`
    `-- ArchiveRefused                 the archive holds what is not taken from strangers
    StoreError                         the table refused a write
    |-- ConditionFailed                a condition did not hold; says which write
    `-- TableBusy                      throttled, or a transaction met another: try again

`PlatformError`s become HTTP answers in one place, `shared.api.edge`. Everything else is an opaque, logged 500.
"""

from typing import Any


class PlatformError(Exception):
    """An error with an HTTP status and a stable code.

    Args:
        detail: one sentence for the caller; never holds a secret or another tenant's data.
        errors: for 422, a list of ``{"loc", "msg", "type"}``.
        headers: extra answer headers, such as ``Retry-After``.
    """

    status = 500
    code = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.errors = errors
        self.headers = headers or {}


class BadRequest(PlatformError):
    status, code = 400, "bad_request"


class Unauthorized(PlatformError):
    status, code = 401, "unauthorized"


class Forbidden(PlatformError):
    status, code = 403, "forbidden"


class NotFound(PlatformError):
    status, code = 404, "not_found"


class Conflict(PlatformError):
    status, code = 409, "conflict"


class NameTaken(Conflict):
    code = "name_taken"


class VersionConflict(Conflict):
    code = "version_conflict"


class InFlight(Conflict):
    code = "in_flight"


class PayloadTooLarge(PlatformError):
    status, code = 413, "payload_too_large"


class Unprocessable(PlatformError):
    status, code = 422, "unprocessable"


class RateLimited(PlatformError):
    status, code = 429, "rate_limited"


class Unavailable(PlatformError):
    status, code = 503, "unavailable"


class RunError(Exception):
    """Ends one attempt of a run. `stop_reason` and the message are what the run record will say."""

    stop_reason = "error"


class ModelUnavailable(RunError):
    """The model provider failed in passing (rate limit, timeout, 5xx)."""

    stop_reason = "model_unavailable"


class ModelRejected(RunError):
    """The model provider refused the request; repeating it cannot help."""

    stop_reason = "model_rejected"


class RunnerUnavailable(RunError):
    """The function that runs agents' own code was not reached, or could not load the code."""

    stop_reason = "runner_unavailable"


class RunCancelled(RunError):
    """The run reached a terminal state while this worker was on its way."""

    stop_reason = "cancelled"


class LimitExceeded(RunError):
    """A limit is used up. The message names it: of the run (`max_steps`, `max_tokens`, `max_seconds`, `max_cost_usd`),
    or shared by runs (`budget_tokens`, `budget_cost`)."""

    stop_reason = "limit_exceeded"


class ToolError(Exception):
    """One tool call failed.

    Args:
        code: stable and machine-readable, such as ``timeout`` or ``host_not_allowed``.
        detail: one sentence for the model and the reader of the run.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class BuildFailed(Exception):
    """An upload cannot be built.

    Args:
        reason: stable and machine-readable, such as ``no_entrypoint``.
        detail: one sentence for whoever uploaded it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ArchiveRefused(BuildFailed):
    """The archive holds what is not taken from strangers."""


class StoreError(Exception):
    """The table refused a write."""


class ConditionFailed(StoreError):
    """A condition did not hold.

    Args:
        failed: positions of the writes whose condition failed, in the order given.
    """

    def __init__(self, failed: tuple[int, ...]) -> None:
        super().__init__(f"condition failed on write {failed}")
        self.failed = failed


class TableBusy(StoreError):
    """The table throttled the request, or the transaction met another one; nothing was written."""
