"""Where the emulator does the same work again for every request; what it answers stays the same."""

import copy
import inspect
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

LOOK_SECONDS = 0.05
"""How often its readers look at a table's stream while it is written to. On AWS they gather for a second."""

# Expressions come from code and not from clients, so there are few.
_EXPRESSIONS = 4096
_PLAIN = (str, int, float, bool, bytes, type(None))


def as_expected() -> bool:
    """Whether the emulator's insides are those that `install` changes."""
    from ministack.core import concurrency
    from ministack.services import cloudformation, dynamodb, lambda_svc, stepfunctions

    return (
        list(inspect.signature(dynamodb._tokenize).parameters) == ["expr"]
        and list(inspect.signature(dynamodb._condition_syntax_error).parameters) == ["expr", "slot"]
        and all(service.copy is copy for service in (cloudformation, dynamodb, stepfunctions))
        and [vars(kind).get("__slots__") for kind in _stores()] == [("_data",)] * 2
        and type(concurrency.esm_wake) is threading.Event
        and not inspect.signature(lambda_svc._poll_dynamodb_streams).parameters
    )


def install() -> None:
    """Let the running emulator work less from now on."""
    from ministack.core import concurrency
    from ministack.services import cloudformation, dynamodb, lambda_svc, stepfunctions

    tokens = lru_cache(_EXPRESSIONS)(dynamodb._tokenize)
    dynamodb._tokenize = lambda expr: list(tokens(expr))
    dynamodb._condition_syntax_error = lru_cache(_EXPRESSIONS)(dynamodb._condition_syntax_error)
    cloudformation.copy = dynamodb.copy = stepfunctions.copy = _Copying(_stores())
    concurrency.esm_wake.__class__ = _Wake
    lambda_svc._poll_dynamodb_streams = paced(lambda_svc._poll_dynamodb_streams, LOOK_SECONDS)


def copied(value: Any, stores: tuple[type, ...] = ()) -> Any:
    """A deep copy. The module `copy` asks of each part whether it was copied before, which in JSON it never was.

    Args:
        stores: the classes in which services keep JSON, in an attribute `_data`.
    """
    kind = type(value)
    if kind is dict:
        return {key: copied(part, stores) for key, part in value.items()}
    if kind is list:
        return [copied(part, stores) for part in value]
    if kind in _PLAIN:
        return value
    if kind in stores:
        made = kind()
        made._data = copied(value._data, stores)
        return made
    return copy.deepcopy(value)


def _stores() -> tuple[type, ...]:
    from ministack.core.responses import AccountRegionScopedDict, AccountScopedDict

    return AccountScopedDict, AccountRegionScopedDict


def paced(work: Callable[[], Any], seconds: float) -> Callable[[], Any]:
    """The same work, begun at most once in ``seconds``: who comes earlier waits. For one thread."""
    begun = -seconds

    def called() -> Any:
        nonlocal begun
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        begun = time.monotonic()
        return work()

    return called


class _Copying:
    """The module `copy` with another deep copy."""

    def __init__(self, stores: tuple[type, ...]) -> None:
        self._stores = stores

    def deepcopy(self, value: Any) -> Any:
        return copied(value, self._stores)

    def __getattr__(self, name: str) -> Any:
        return getattr(copy, name)


class _Wake(threading.Event):
    """An event that is set for every record that is written, mostly when it is set already."""

    def set(self) -> None:
        if not self.is_set():
            super().set()
