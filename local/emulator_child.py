"""The emulator's process: the stock emulator with what the platform needs changed in it.

Run by :mod:`local.emulator`; everything it must know comes in environment variables. It leans on private names
of one pinned version, so it refuses any other, and any whose insides differ from what is expected here.
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from local import emulator_memory, emulator_speed, forms
from local.collector import settled
from local.wire import Peer, Questions, Reply, listen

PINNED = "1.5.33"

_START_DELAY = 0.15
_ORPHAN_CHECK_SECONDS = 0.25
_READS = ("BatchGet", "Describe", "Get", "List", "Query", "Scan", "TransactGet")
_ANSWER_MARGIN_SECONDS = 5
_COPY_ATTEMPTS = 10
# What a deployment makes, nine tenths of a young state. Only requests over HTTP change it, which functions seldom send.
_DEPLOYED = {"apigateway_v1", "cloudformation", "iam"}
_ALONE_SECONDS = 1.0
_COMPLETE = "complete"

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class _Clock:
    """The time module, without the emulator's fixed pause before every execution."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def sleep(seconds: float) -> None:
        if seconds != _START_DELAY:
            time.sleep(seconds)


class FunctionProxy:
    """Sends invocations to the Lambda host and keeps the names of errors, which the stock proxy drops."""

    def __init__(self, host: Questions) -> None:
        self._host = host

    def __call__(self, func: Mapping[str, Any], event: Any, _url: str, _request_id: str) -> dict[str, Any]:
        config = func.get("config") or func
        timeout = int(config.get("Timeout") or 3)
        payload = json.dumps(event, ensure_ascii=False).encode()
        try:
            error, body = self._host.ask(config["FunctionName"], payload, timeout + _ANSWER_MARGIN_SECONDS)
        except TimeoutError:
            return _failure("Sandbox.Timedout", f"Task timed out after {timeout}.00 seconds")
        except OSError as unreachable:
            # What Step Functions sees when Lambda itself has a bad moment: its Retry waits for us to come back.
            return _failure("Lambda.ServiceException", f"The Lambda host is unreachable: {unreachable!r}")
        answer = json.loads(body) if body else None
        return {"body": answer, "error": True} if error or _left_undone(event, answer) else {"body": answer}


class Services:
    """Answers the Lambda host's questions: what its functions ask of AWS most, without the cost of HTTP.

    A handler of the emulator's DynamoDB never waits, so it is done at once; other services' may, so they get a task.
    """

    def __init__(self, noticed: Callable[[bool], None]) -> None:
        self._noticed = noticed

    def answer(self, question: str, document: bytes, reply: Reply) -> Coroutine[Any, Any, None] | None:
        """Answer "<service> <operation>"."""
        service, _, operation = question.partition(" ")
        self._noticed(not operation.startswith(_READS))
        work = self._answered(service, operation, document, reply)
        if service != "dynamodb":
            return work
        with contextlib.suppress(StopIteration):
            work.send(None)
            raise RuntimeError(f"{operation} waits for something")
        return None

    async def _answered(self, service: str, operation: str, document: bytes, reply: Reply) -> None:
        try:
            status, _, body = await _handler(service)(
                "POST", "/", {"x-amz-target": f"direct.{operation}"}, document, {}
            )
        except Exception as error:  # noqa: BLE001 - as the stock application answers, whatever went wrong
            status, body = 500, json.dumps({"__type": "InternalError", "message": str(error)})
        reply(str(status), body if isinstance(body, bytes) else body.encode())


@cache
def _handler(service: str) -> Callable[..., Awaitable[tuple[int, dict[str, str], bytes | str]]]:
    handler: Callable[..., Any] = importlib.import_module(f"ministack.services.{service}").handle_request
    return handler


class Snapshots:
    """Saves the emulator's state soon after it changed, so that a kill loses seconds and not all."""

    def __init__(self, app: Any, folder: Path, interval: float) -> None:
        from ministack.services import stepfunctions

        self._app, self._folder, self._interval = app, folder, interval
        self._next = _next_to(folder)
        self._saving = threading.Lock()
        self._loaded = False
        self._changes_over_http, self._changes_saved = 0, -1
        self._executions: dict[Any, dict[str, Any]] = stepfunctions._executions._data
        self._changed = threading.Event()

    def watch(self, asgi: Asgi) -> Asgi:
        """The same application; requests that may have changed something are noticed."""

        async def watched(scope: Scope, receive: Any, send: Any) -> None:
            await asgi(scope, receive, send)
            if scope["type"] == "http":
                changed = not _only_reads(scope)
                self._changes_over_http += changed
                self.notice(changed)

        return watched

    def notice(self, changed: bool) -> None:
        """A request was here, which may have changed something; none comes in before the last state is read."""
        self._loaded = True
        if changed:
            self._changed.set()

    def run(self) -> None:
        """Save for ever; large states less often, so that saving stays a small part of the work."""
        pause = self._interval
        while True:
            time.sleep(pause)
            if self._changed.is_set() or self._running():
                self._changed.clear()
                begun = time.monotonic()
                self.save()
                pause = max(self._interval, 20 * (time.monotonic() - begun))

    def save(self) -> None:
        """Write the services' states as of one moment, all or none of them, unless they are still being read. What
        cannot have changed stays as it is written."""
        from ministack.core import persistence

        with self._saving:
            if not self._loaded:
                return
            emulator_memory.forget_executions(at_most=0)
            self._next.mkdir(exist_ok=True)
            changes = self._changes_over_http
            same = _DEPLOYED if changes == self._changes_saved else ()
            services = self._app._build_persistence_save_dict()
            states = _copied({name: of for name, of in services.items() if name not in same})
            for service, state in states.items():
                content = {"__ministack_format__": persistence._state_format_version(service), "payload": state}
                # In one piece, which json does in C; the stock way, piece by piece, takes ten times as long.
                text = json.dumps(content, default=persistence._json_default)
                (self._next / f"{service}.json").write_text(text)
            (self._next / _COMPLETE).touch()
            put_in_place(self._folder)
            if states.keys() >= _DEPLOYED:
                self._changes_saved = changes

    def _running(self) -> bool:
        return any(execution["status"] == "RUNNING" for execution in list(self._executions.values()))


def put_in_place(folder: Path) -> None:
    """Make the state that was written last the one to start from. A kill before it was complete drops it; a kill in
    here is made good at the next start, so the services' files always belong together."""
    written = _next_to(folder)
    if (written / _COMPLETE).exists():
        folder.mkdir(exist_ok=True)
        for file in written.glob("*.json"):
            file.replace(folder / file.name)
    shutil.rmtree(written, ignore_errors=True)


def _next_to(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.next")


def _copied(services: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """The services' states: no other thread runs meanwhile, or they would not fit together."""
    states: dict[str, Any] = {}
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_ALONE_SECONDS)
    try:
        for service, get_state in services.items():
            for _ in range(_COPY_ATTEMPTS):
                # A thread that waited already may still have come in between.
                with contextlib.suppress(RuntimeError):
                    states[service] = get_state()
                    break
            else:
                print(f"not saved this time: {service} never held still", file=sys.stderr, flush=True)
    finally:
        sys.setswitchinterval(interval)
    return {service: state for service, state in states.items() if state is not None}


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    found = version("ministack")
    if found != PINNED:
        sys.exit(f"ministack {PINNED} is needed, {found} is installed")
    folder = Path(os.environ["STATE_DIR"])
    put_in_place(folder)
    _forget_stream_positions(folder / "lambda.json")

    import uvicorn
    from ministack import app

    host = Peer(socket.socket(fileno=int(os.environ["LOCAL_CONTROL"])))
    _patch(FunctionProxy(Questions(host)))
    snapshots = Snapshots(app, folder, float(os.environ["LOCAL_SNAPSHOT_SECONDS"]))
    threading.Thread(target=snapshots.run, name="snapshots", daemon=True).start()

    # Half a second that the first deployment would wait for; the parent is still busy with its own imports.
    threading.Thread(target=importlib.import_module, args=("samtranslator.translator.translator",)).start()

    # The stock server parses HTTP in Python, which is half of what a small request costs.
    config = uvicorn.Config(
        snapshots.watch(app.app),
        port=int(os.environ["GATEWAY_PORT"]),
        http="httptools",
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=3600,
    )

    async def run() -> None:
        await listen(host, Services(snapshots.notice).answer)
        settled()
        server = asyncio.create_task(uvicorn.Server(config).serve())
        stopping = asyncio.create_task(_told_to_stop(int(os.environ["LOCAL_PARENT_PID"])))
        await asyncio.wait({server, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            await server
        # At once, and nothing after it: an execution that went on would do things the saved state knows nothing of.
        snapshots.save()
        sys.stderr.flush()
        os._exit(0)

    asyncio.run(run())


async def _told_to_stop(parent: int) -> None:
    """Return on SIGTERM, and when the parent is gone without a word: nobody would ever stop this process."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    while not told.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ORPHAN_CHECK_SECONDS):
                await told.wait()


def _patch(proxy: FunctionProxy) -> None:
    from ministack import app
    from ministack.core import persistence
    from ministack.services import apigateway_v1, dynamodb, lambda_svc, stepfunctions

    request = ["method", "path", "headers", "body", "query_params"]
    expected = (
        list(inspect.signature(lambda_svc._execute_function_proxy).parameters)
        == ["func", "event", "url", "request_id"],
        list(inspect.signature(lambda_svc._proxy_url_for).parameters) == ["config"],
        "_proxy_url_for" in lambda_svc._execute_function_dispatch.__code__.co_names,
        "_execute_function_proxy" in lambda_svc._execute_function_dispatch.__code__.co_names,
        _START_DELAY in stepfunctions._run_execution.__code__.co_consts,
        stepfunctions.time is time,
        list(inspect.signature(apigateway_v1._get_usage_plans).parameters) == ["query_params"],
        list(inspect.signature(apigateway_v1._v1_paginated_response).parameters) == ["items_list", "query_params"],
        list(inspect.signature(persistence._state_format_version).parameters) == ["service"],
        list(inspect.signature(persistence._json_default).parameters) == ["obj"],
        all(list(inspect.signature(one.handle_request).parameters) == request for one in (dynamodb, stepfunctions)),
        hasattr(app, "_build_persistence_save_dict"),
        emulator_memory.as_expected(),
        emulator_speed.as_expected(),
        forms.as_expected(),
    )
    if not all(expected):
        sys.exit(f"the insides of ministack {PINNED} are not the expected ones: the emulator cannot be adapted")
    forms.guard()
    lambda_svc._execute_function_proxy = proxy
    lambda_svc._proxy_url_for = lambda _config: "the Lambda host"
    # Handlers log to the data folder already; here each call would stay in memory and in every snapshot.
    lambda_svc._emit_lambda_logs = lambda *_, **__: None
    stepfunctions.time = _Clock()
    emulator_memory.install()
    emulator_speed.install()

    def plans_of_key(query_params: Any) -> Any:
        # The stock one gives all plans, whatever key it is asked for.
        key = apigateway_v1._qp(query_params, "keyId")
        plans = apigateway_v1._usage_plans.items()
        found = [plan for plan_id, plan in plans if key in {None, *apigateway_v1._usage_plan_keys.get(plan_id, {})}]
        return apigateway_v1._v1_paginated_response(found, query_params)

    apigateway_v1._get_usage_plans = plans_of_key


def _forget_stream_positions(state: Path) -> None:
    """Stream records are not kept but positions in them are: a restored mapping would wait for ever."""
    if state.exists():
        content = json.loads(state.read_text())
        content.get("payload", {})["dynamodb_stream_positions"] = {}
        state.write_text(json.dumps(content))


def _only_reads(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name.lower() == b"x-amz-target":
            return bool(value.decode("latin-1").rpartition(".")[2].startswith(_READS))
    return scope["method"] in ("GET", "HEAD")


def _left_undone(event: Any, answer: Any) -> bool:
    """Whether a reader of a table's stream wants records again: the emulator takes the batch for done otherwise."""
    records = event.get("Records") if isinstance(event, dict) else None
    if not records or records[0].get("eventSource") != "aws:dynamodb":
        return False
    return isinstance(answer, dict) and bool(answer.get("batchItemFailures"))


def _failure(error: str, message: str) -> dict[str, Any]:
    return {"error": True, "body": {"errorType": error, "errorMessage": message}}


if __name__ == "__main__":
    main()
