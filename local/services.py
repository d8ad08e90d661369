"""What runs in the runtime's own process: the deployed template's functions behind the gateway and the stand-ins."""

import json
import secrets
import socket
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from local import deploy, direct, interrupted, isolation, seed, standins, usage_plans
from local.data_folder import DataFolder
from local.emulator import Emulator
from local.gateway import Gateway
from local.host import Host
from local.permissions import Guard
from local.servers import LoopThread
from local.settings import DEMO_TENANT, OPERATORS_SCOPES, PARAMETERS, boot_key
from local.stack import Stack
from local.usage_plans import UsagePlans
from local.web import WebHost, is_web
from local.wire import Questions, listen

LAYER = Path(__file__).parent.parent / "layers" / "shared"

# What handlers import that nothing here does; the deployment leaves this process time for it.
_HEAVY = ("jsonschema", "openai")


class FunctionError(Exception):
    """A function that was invoked directly failed."""


class Services:
    """The in-process half of a runtime, started step by step and stopped at once."""

    def __init__(
        self, folder: DataFolder, emulator: Emulator, settings: Mapping[str, str], record: Path | None = None
    ) -> None:
        self._folder, self._emulator_url, self._settings = folder, emulator.url, settings
        self._peer = emulator.peer
        self._emulator = Questions(emulator.peer)
        # Boot keys that no other process ever sees; they make the first tenants and the first real key.
        self._operator_key = secrets.token_urlsafe(32)
        self._internal_key = secrets.token_urlsafe(32)
        self._undo = ExitStack()
        self._record = record
        self.guard: Guard
        self._stack: Stack
        self._loop: LoopThread
        self._host: Host
        self._web: WebHost

    def deploy(self, template: Path) -> Stack:
        """Bring the emulator's stack up to date with the template."""
        # No daemon: one that still imports when Python ends, as after a broken template, aborts the process.
        threading.Thread(target=_import_heavy, name="imports").start()
        self._stack = deploy.deploy(template, self._emulator_url, self._settings)
        return self._stack

    def load_functions(self) -> None:
        """Make this process a Lambda host."""
        variables = isolation.function_variables(self._stack.functions, self._emulator_url)
        variables |= {name: value for name, value in self._settings.items() if name not in PARAMETERS}
        boot_keys = json.loads(self._settings["AUTH_API_KEYS"])
        boot_keys |= {
            self._operator_key: boot_key("operator", OPERATORS_SCOPES),
            self._internal_key: boot_key(DEMO_TENANT, ("admin", *OPERATORS_SCOPES)),
        }
        variables["AUTH_API_KEYS"] = json.dumps(boot_keys)
        self._undo.enter_context(isolation.environment(variables))
        self._undo.enter_context(isolation.isolated(LAYER, self._folder.fresh_log("functions.log")))
        self.guard = Guard({name: function.role for name, function in self._stack.functions.items()}, self._record)
        session = self._undo.enter_context(self.guard.watching())
        self._undo.callback(self._emulator.close)
        direct.shorten(session.events, self._emulator)
        aws: Any = import_module("shared.clients.aws")
        aws.make = session.client
        self._loop = LoopThread()
        self._undo.callback(self._loop.close)
        functions = self._stack.functions
        self._host = Host({name: function for name, function in functions.items() if not is_web(function)})
        self._web = WebHost(functions)
        self._loop.run(self._host.preload())
        self._loop.run(self._web.preload())

    def serve(self, public: socket.socket, internal: socket.socket) -> None:
        """Answer the API's clients on one socket, those of the stand-ins on the other, and the emulator."""
        stop = self._loop.run(listen(self._peer, self._host.answer))
        self._undo.callback(lambda: self._loop.run(stop()))
        self._undo.callback(self._loop.serve(Starlette(routes=standins.outside()), internal))
        if (api := self._stack.api) is not None:
            plans = UsagePlans(usage_plans.reader(self._emulator_url, api.api_id, api.stage))
            self._undo.callback(self._loop.serve(Gateway(api, self._host, self._web, plans), public))
        # Before the servers: what still waits for a function gets an answer.
        self._undo.callback(lambda: self._loop.run(self._host.close()))
        self._undo.callback(lambda: self._loop.run(self._web.close()))

    def seed(self, url: str) -> str:
        """The demo tenant's key; where the template cannot make keys, a boot key of this process."""
        routes = self._stack.api.routes if self._stack.api else ()
        if any((route.method, route.path) == ("POST", "/api-keys") for route in routes):
            return seed.demo_key(url, self._operator_key, self._internal_key, self._folder.path / "demo-key")
        return self._internal_key

    def restart_interrupted(self) -> None:
        """Go on with the executions that the last stop cut off."""
        client = deploy.client("stepfunctions", self._emulator_url)
        interrupted.restart(client, self._stack.machines.values())

    def invoke(self, logical_id: str, event: Any) -> Any:
        """Invoke a function by its name in the template."""
        answer = self._loop.run(self._host.invoke(logical_id, json.dumps(event).encode()))
        result = json.loads(answer.payload)
        if answer.error:
            raise FunctionError(f"{result['errorType']}: {result['errorMessage']}")
        return result

    def stop(self) -> None:
        """Stop serving, then running, then leave the process as it was."""
        self._undo.close()


def _import_heavy() -> None:
    for name in _HEAVY:
        import_module(name)
