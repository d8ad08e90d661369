"""What the platform says of itself, by log lines: what happens, and metrics in CloudWatch's embedded format.

No secrets, no message contents: ids, counts and durations only.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

from shared import cold_start
from shared.metrics import ERROR_TYPE, NAMESPACE, OTHER, SERVICE, Metric

_IDS = ("tenant_id", "run_id", "tool_call_id", "trace_id")


class _Formatter(LambdaPowertoolsFormatter):
    """Lines that show where an exception came from and not what it says, which may quote a key or a message."""

    def formatException(  # noqa: N802 - the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        shown: list[str] = []
        error = ei[1]
        while error is not None:
            frames = traceback.format_tb(error.__traceback__)
            shown.insert(0, "".join([*frames, type(error).__qualname__, _code(error)]))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nThen:\n".join(shown)


def _code(error: BaseException) -> str:
    """What an error of AWS is called, and which operation it refused."""
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else None
    return f" ({code}, {getattr(error, 'operation_name', '')})" if code else ""


logger = Logger(logger_formatter=_Formatter(use_rfc3339=True, utc=True, serialize_stacktrace=False))
# The runtime lets the root logger say what Lambda's level allows, and libraries say there what they send: httpx whole
# addresses, openai and botocore whole bodies.
logging.getLogger().setLevel(logging.WARNING)


def log_context(**keys: object) -> None:
    """Add keys (tenant, run, trace id) to every log line of this invocation, on this thread only."""
    logger.thread_safe_append_keys(**keys)


def clear_log_context() -> None:
    """Forget the keys of the invocation that ended."""
    logger.thread_safe_clear_keys()


def measure(
    values: Mapping[Metric, float], dimensions: Mapping[str, str] | None = None, *, error: str | None = None, **ids: str
) -> None:
    """Emit one value of each of these metrics, at once: a line of about 400 bytes, no request.

    What is in the log context, and `ids`, stands in the line beside them, to be searched for and never counted by.

    Args:
        values: metrics of the same dimensions. Seconds, or how many.
        dimensions: a value for each dimension of theirs but `service`; one that is in no set counts as `_OTHER`.
        error: what went wrong, if something did: the value of `error.type`, in a second series beside the first.

    Raises:
        ValueError: these are not the dimensions of these metrics.
    """
    given = dimensions or {}
    service = os.environ.get("POWERTOOLS_SERVICE_NAME", "agent-platform")
    emf = AmazonCloudWatchEMFProvider(namespace=NAMESPACE, service=service)
    for metric, value in values.items():
        if metric.dimensions.keys() != given.keys() or (error is not None and not metric.errors):
            raise ValueError(f"{metric.name} has other dimensions")
        emf.add_metric(metric.name, metric.unit, value)
        chosen = {name: _one_of(allowed, given[name]) for name, allowed in metric.dimensions.items()}
        emf.dimension_set = {SERVICE: service, **chosen}
        if error is not None:
            emf.dimension_sets = [emf.dimension_set | {ERROR_TYPE: _one_of(metric.errors, error)}]
    for name, said in (logger.thread_safe_get_current_keys() | ids).items():
        emf.add_metadata(name, said)
    # In one piece and at once: threads share the stream, and the process may be stopped as soon as it has answered.
    sys.stdout.write(json.dumps(emf.serialize_metric_set(), separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _one_of(allowed: tuple[str, ...], value: str) -> str:
    return value if value in allowed else OTHER


class Refusal(Exception):
    """How a worker refuses what it was asked: no failure of its own."""


Worker = Callable[[dict[str, Any], object], Any]


def worker(handle: Worker) -> Worker:
    """A Lambda handler that is no API route: its log lines carry the ids of its event."""
    operation = Path(handle.__code__.co_filename).stem

    @wraps(handle)
    def handler(event: dict[str, Any], context: object) -> Any:
        log_context(function=function_name(context), operation=operation)
        log_context(**{name: event[name] for name in _IDS if name in event})
        try:
            return handle(event, context)
        except Refusal:
            logger.info("refused")
            raise
        except Exception as error:
            logger.warning("worker failed", extra={"error": type(error).__name__})
            raise
        finally:
            clear_log_context()

    cold_start.end()
    return handler


def function_name(context: object) -> str:
    """The name of the function that runs; a server of streams gets no context."""
    return str(getattr(context, "function_name", None) or os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
