"""The Lambda service of the local runtime: functions, their environments, one event at a time in each."""

import asyncio
import contextlib
import itertools
import json
import queue
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from local.emulator import ACCOUNT, REGION
from local.permissions import at_work
from local.stack import Function
from local.wire import Reply

PAYLOAD_LIMIT = 6 * 1024 * 1024
MAX_ENVIRONMENTS = 64

# How long an event waits for a free environment before it is refused, as Lambda refuses at its limit.
_QUEUE_SECONDS = 20.0
_GRACE_SECONDS = 1.0
_numbers = itertools.count(1)
# Python's import system shows half-made modules to a second thread that imports the same circle of modules.
_loading = threading.Lock()


@dataclass(frozen=True)
class Answer:
    """What an invocation gave: a JSON document, and Lambda's mark when it describes an error."""

    payload: bytes
    error: str | None = None


def failure(kind: str, message: str, trace: list[str] | None = None) -> Answer:
    """An answer that says what went wrong, as Lambda words it."""
    body = {"errorMessage": message, "errorType": kind, "stackTrace": trace or []}
    return Answer(json.dumps(body).encode(), error="Unhandled")


_STOPPING = failure("Lambda.ServiceException", "The Lambda host is stopping.")


@dataclass(frozen=True)
class Context:
    """Lambda's context object."""

    function_name: str
    aws_request_id: str
    deadline: float
    function_version: str = "$LATEST"
    memory_limit_in_mb: str = "512"
    log_stream_name: str = "local"
    identity: None = None
    client_context: None = None

    @property
    def invoked_function_arn(self) -> str:
        """The function's address."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.function_name}"

    @property
    def log_group_name(self) -> str:
        """Where Lambda would put the logs."""
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """How long the function may still take."""
        return max(0, int((self.deadline - time.time()) * 1000))


def load(function: Function, file: str, name: str) -> ModuleType:
    """Import a function's file under a name of its own; its folder never stands on the path."""
    path = function.source / f"{file.replace('.', '/')}.py"
    loader = SourceFileLoader(name, str(path))
    spec = ModuleSpec(name, loader, origin=str(path))
    # The module knows its own `__file__`.
    spec.has_location = True
    module = module_from_spec(spec)
    sys.modules[name] = module
    with _loading:
        loader.exec_module(module)
    return module


class Environment:
    """A copy of a function's module with the only thread that ever runs it."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._module_name = f"{function.logical_id}__{next(_numbers)}"
        self._inbox: queue.SimpleQueue[tuple[bytes, Callable[[Answer], None]] | None] = queue.SimpleQueue()
        self.broken = False
        self._abandon: Callable[[], None] = lambda: None
        self._loaded = threading.Event()
        threading.Thread(target=self._work, name=self._module_name, daemon=True).start()

    async def run(self, payload: bytes) -> Answer:
        """Give the event to the handler; too slow a handler is left behind with its environment."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Answer] = loop.create_future()

        def settle(answer: Answer) -> None:
            if not done.done():
                done.set_result(answer)

        def deliver(answer: Answer) -> None:
            # The loop is closed when the runtime has stopped meanwhile: nobody waits then.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, answer)

        def expire() -> None:
            self.broken = True
            settle(failure("Sandbox.Timedout", f"Task timed out after {self._function.timeout}.00 seconds"))

        self._abandon = lambda: settle(_STOPPING)
        self._inbox.put((payload, deliver))
        end = loop.call_later(self._function.timeout, expire)
        try:
            return await done
        finally:
            end.cancel()
            # Also when the caller went away: the handler is still at work in there.
            self.broken = self.broken or done.cancelled()

    async def loaded(self) -> None:
        """Wait until the module is imported, or has failed to be."""
        await asyncio.get_running_loop().run_in_executor(None, self._loaded.wait)

    def abandon(self) -> None:
        """Answer the event that the handler is still at work on."""
        self._abandon()

    def retire(self) -> None:
        """End the thread after the event it may still be working on."""
        self._inbox.put(None)

    def _work(self) -> None:
        at_work.set(self._function.logical_id)
        try:
            handler = self._load()
        except BaseException as error:  # noqa: BLE001 - whatever a module raises is the function's answer
            self.broken = True
            answer = _failure_of(error)
            handler = None
        self._loaded.set()
        while (item := self._inbox.get()) is not None:
            payload, deliver = item
            deliver(answer if handler is None else self._handle(handler, payload))
        sys.modules.pop(self._module_name, None)

    def _load(self) -> Callable[[Any, Any], Any]:
        file, _, name = self._function.handler.rpartition(".")
        handler: Callable[[Any, Any], Any] = getattr(load(self._function, file, self._module_name), name)
        return handler

    def _handle(self, handler: Callable[[Any, Any], Any], payload: bytes) -> Answer:
        context = Context(
            function_name=self._function.name,
            aws_request_id=str(uuid.uuid4()),
            deadline=time.time() + self._function.timeout,
        )
        try:
            result = handler(json.loads(payload), context)
        except BaseException as error:  # noqa: BLE001 - sys.exit() too ends an invocation, never the host
            return _failure_of(error)
        try:
            body = json.dumps(result, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            return failure("Runtime.MarshalError", f"Unable to marshal response: {error}")
        if len(body) > PAYLOAD_LIMIT:
            return failure(
                "Function.ResponseSizeTooLarge",
                f"Response payload size exceeded maximum allowed payload size ({PAYLOAD_LIMIT} bytes).",
            )
        return Answer(body)


async def _free(places: asyncio.Semaphore) -> bool:
    """Whether a place became free in time; it is taken then."""
    try:
        # Almost always one is free, and the clock costs more than the place.
        async with asyncio.timeout(_QUEUE_SECONDS) if places.locked() else contextlib.nullcontext():
            return await places.acquire()
    except TimeoutError:
        return False


def _failure_of(error: BaseException) -> Answer:
    answer = failure(type(error).__name__, str(error), traceback.format_tb(error.__traceback__))
    # A refused key is no news here; Lambda's runtime cannot tell it from an error.
    if type(error).__name__ != "Refusal":
        said = {"timestamp": datetime.now(UTC).isoformat(), "level": "ERROR", "logger": "lambda"}
        sys.stderr.write(json.dumps(said | json.loads(answer.payload)) + "\n")
    return answer


@dataclass
class _Pool:
    function: Function
    idle: list[Environment] = field(default_factory=list)
    all: set[Environment] = field(default_factory=set)
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_ENVIRONMENTS))


class Host:
    """Runs events in environments. Lives on one event loop: its bookkeeping needs no locks.

    Every environment has its own thread, so an event that causes others (a run that calls workers) can wait for
    them without holding anything they need.
    """

    def __init__(self, functions: Mapping[str, Function]) -> None:
        self._pools = {logical_id: _Pool(function) for logical_id, function in functions.items()}
        self._by_name = {function.name: logical_id for logical_id, function in functions.items()}
        self._closed = False

    async def answer(self, function_name: str, payload: bytes, reply: Reply) -> None:
        """Run an event of the emulator's in the function that it knows by this name, and say what came of it."""
        logical_id = self._by_name.get(function_name)
        if logical_id is None:
            unknown = failure("Lambda.ResourceNotFoundException", f"Function not found: {function_name}")
            reply("Unhandled", unknown.payload)
            return
        answer = await self.invoke(logical_id, payload)
        reply(answer.error or "", answer.payload)

    async def invoke(self, logical_id: str, payload: bytes) -> Answer:
        """Run one event and wait for its answer."""
        pool = self._pools[logical_id]
        if len(payload) > PAYLOAD_LIMIT:
            return failure("RequestEntityTooLargeException", f"{len(payload)} bytes are too many")
        if not await _free(pool.places):
            return failure("Lambda.TooManyRequestsException", "Rate Exceeded.")
        try:
            if self._closed:
                return _STOPPING
            environment = self._take(pool)
            try:
                return await environment.run(payload)
            finally:
                self._give_back(pool, environment)
        finally:
            pool.places.release()

    async def preload(self) -> None:
        """Make the first environment of every function, so that no first request waits for imports."""
        environments = [(pool, self._take(pool)) for pool in self._pools.values()]
        for pool, environment in environments:
            await environment.loaded()
            self._give_back(pool, environment)

    async def close(self) -> None:
        """Refuse new events, leave running ones a moment, answer the rest as Lambda does in a bad moment.

        What is cut off is taken up again after the next start, so stopping need not wait for long runs.
        """
        self._closed = True
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and any(len(pool.idle) < len(pool.all) for pool in self._pools.values()):
            await asyncio.sleep(0.01)
        for pool in self._pools.values():
            for environment in pool.all:
                environment.abandon()
                environment.retire()

    def _take(self, pool: _Pool) -> Environment:
        if pool.idle:
            return pool.idle.pop()
        environment = Environment(pool.function)
        pool.all.add(environment)
        return environment

    def _give_back(self, pool: _Pool, environment: Environment) -> None:
        if environment.broken:
            pool.all.discard(environment)
            environment.retire()
        else:
            pool.idle.append(environment)
