"""Makes one process safe to run Lambda handlers in, and puts everything back afterwards."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from contextvars import copy_context
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, TextIO

from aws_lambda_powertools.event_handler import api_gateway

from local.emulator import REGION
from local.errors import LocalError
from local.log_file import LogFile
from local.permissions import at_work
from local.stack import Function

_RESOLVER = api_gateway.ApiGatewayResolver
# A user's own AWS settings must never steer a handler to a real account; secrets come from the settings or not at all.
_FOREIGN = ("AWS_", "POWERTOOLS_", "JWT_", "API_KEY_PEPPER")
_OUR_PACKAGE = "shared"


@contextmanager
def isolated(layer: Path, log: Path) -> Iterator[None]:
    """Handlers find the layer, write to ``log``, and do not see each other's events."""
    with ExitStack() as undo:
        undo.enter_context(_own_import_path(layer))
        undo.enter_context(_output_to(log))
        undo.enter_context(_events_per_thread())
        undo.enter_context(_threads_belong_to_functions())
        _memories_per_function()
        yield


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """The process environment that Lambda functions see."""
    before = dict(os.environ)
    for name in list(os.environ):
        if name.startswith(_FOREIGN):
            del os.environ[name]
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def function_variables(functions: Mapping[str, Function], emulator_url: str) -> dict[str, str]:
    """One environment for all functions: they share a process, so they must agree on every value."""
    merged: dict[str, str] = {}
    owner: dict[str, str] = {}
    for function in functions.values():
        for name, value in function.environment.items():
            if merged.setdefault(name, value) != value:
                raise LocalError(f"{owner[name]} and {function.logical_id} set {name} differently in the template")
            owner.setdefault(name, function.logical_id)
    return merged | {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": emulator_url,
        "AWS_REGION": REGION,
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }


@contextmanager
def _own_import_path(layer: Path) -> Iterator[None]:
    """The layer's package is imported afresh: its cached settings and clients belong to this runtime only."""
    foreign = _take_our_modules()
    sys.path.insert(0, str(layer))
    try:
        yield
    finally:
        sys.path.remove(str(layer))
        _take_our_modules()
        sys.modules.update(foreign)


def _take_our_modules() -> dict[str, Any]:
    names = [name for name in sys.modules if name == _OUR_PACKAGE or name.startswith(f"{_OUR_PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}


class _Console:
    """A standard stream: the main thread writes to the console, every other one (handlers) to a file."""

    def __init__(self, console: TextIO, log: LogFile) -> None:
        self._console, self._log = console, log

    def write(self, text: str) -> int:
        return self._target().write(text)

    def flush(self) -> None:
        self._target().flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def _target(self) -> TextIO | LogFile:
        return self._console if threading.current_thread() is threading.main_thread() else self._log


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    before = sys.stdout, sys.stderr
    with closing(LogFile(log)) as file:
        ours = _Console(sys.stdout, file), _Console(sys.stderr, file)
        sys.stdout, sys.stderr = ours
        try:
            yield
        finally:
            # Another owner (a test runner's capture) may have taken a stream over in the meantime.
            if sys.stdout is ours[0]:
                sys.stdout = before[0]
            if sys.stderr is ours[1]:
                sys.stderr = before[1]


@contextmanager
def _events_per_thread() -> Iterator[None]:
    """Powertools keeps the current event on a class that all resolvers share: right in Lambda, where a process
    has one event at a time, and another tenant's data here. Each thread gets its own."""
    current = threading.local()
    to_event, resolve, resolve_async = _RESOLVER._to_proxy_event, _RESOLVER.resolve, _RESOLVER.resolve_async

    def remember_event(self: Any, event: dict[str, Any]) -> Any:
        current.event = to_event(self, event)
        return current.event

    def remember_context(self: Any, event: Any, context: Any) -> Any:
        current.context = context
        return resolve(self, event, context)

    async def remember_context_async(self: Any, event: Any, context: Any) -> Any:
        current.context = context
        return await resolve_async(self, event, context)

    changes: dict[str, Any] = {
        "_to_proxy_event": remember_event,
        "resolve": remember_context,
        "resolve_async": remember_context_async,
        "current_event": property(lambda _: current.event, lambda _, event: setattr(current, "event", event)),
        "lambda_context": property(lambda _: current.context, lambda _, value: setattr(current, "context", value)),
    }
    before = {name: _RESOLVER.__dict__.get(name) for name in changes}
    for name, value in changes.items():
        setattr(_RESOLVER, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                delattr(_RESOLVER, name)
            else:
                setattr(_RESOLVER, name, value)


@contextmanager
def _threads_belong_to_functions() -> Iterator[None]:
    """A thread that a function starts, or work that it gives to other threads, asks AWS in the function's name."""
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_in_context(self: Any) -> None:
        if at_work.get():
            self.run = partial(copy_context().run, self.run)
        start(self)

    def submit_in_context(self: Any, work: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
        return submit(self, copy_context().run, work, *args, **options)

    changes: list[tuple[Any, str, Any]] = [
        (threading.Thread, "start", start_in_context),
        (ThreadPoolExecutor, "submit", submit_in_context),
    ]
    for owner, name, value in changes:
        setattr(owner, name, value)
    try:
        yield
    finally:
        threading.Thread.start, ThreadPoolExecutor.submit = start, submit  # type: ignore[method-assign]


def _memories_per_function() -> None:
    """What one function has read, another reads for itself, as in processes of their own: else it would seem to
    need no permission. These modules were imported for this runtime only and go away with it."""
    kept: Any = import_module(f"{_OUR_PACKAGE}.memory").Memory
    for name in ("get", "keep", "drop"):
        setattr(kept, name, _under_the_function(getattr(kept, name)))
    secrets = import_module(f"{_OUR_PACKAGE}.clients.secrets")
    for name, value in vars(secrets).copy().items():
        if hasattr(value, "cache_clear"):
            setattr(secrets, name, _cached_per_function(value.__wrapped__))


def _under_the_function(method: Callable[..., Any]) -> Callable[..., Any]:
    def called(self: Any, key: str, *args: Any, **options: Any) -> Any:
        return method(self, f"{at_work.get()} {key}", *args, **options)

    return called


def _cached_per_function(plain: Callable[..., Any]) -> Callable[..., Any]:
    @cache
    def kept(_function: str, *args: Any) -> Any:
        return plain(*args)

    def called(*args: Any) -> Any:
        return kept(at_work.get(), *args)

    called.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
    return called
