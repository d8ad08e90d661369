"""One logger for everything that ships. No secrets, no message contents: ids, counts and durations only."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from aws_lambda_powertools import Logger

logger = Logger()
# The runtime lets the root logger say what Lambda's level allows, and libraries say there what they send: httpx whole
# addresses, openai and botocore whole bodies.
logging.getLogger().setLevel(logging.WARNING)


def log_context(**keys: object) -> None:
    """Add keys (tenant, run, trace id) to every log line of this invocation, on this thread only."""
    logger.thread_safe_append_keys(**keys)


def clear_log_context() -> None:
    """Forget the keys of the invocation that ended."""
    logger.thread_safe_clear_keys()


Worker = Callable[[dict[str, Any], object], Any]


def worker(handle: Worker) -> Worker:
    """A Lambda handler that is no API route: its log lines carry the ids of its event."""

    @wraps(handle)
    def handler(event: dict[str, Any], context: object) -> Any:
        log_context(**{name: event[name] for name in ("tenant_id", "run_id", "tool_call_id") if name in event})
        try:
            return handle(event, context)
        except Exception as error:
            logger.warning("worker failed", extra={"error": type(error).__name__})
            raise
        finally:
            clear_log_context()

    return handler
