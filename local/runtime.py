"""The local runtime: emulator, deployed template, Lambda host, gateway and stand-ins, started and stopped as one."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from local.data_folder import DataFolder
from local.emulator import Emulator
from local.ports import listen
from local.settings import DEFAULT_PORT, completed

if TYPE_CHECKING:
    from local.services import Services
    from local.stack import Stack

ROOT = Path(__file__).parent.parent
LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - a name to recognise, not a choice


class Runtime:
    """A running platform on ``port`` (API), ``port + 1`` (stand-ins) and ``port + 2`` (emulator).

    A context manager. It lives in the process that makes it, so a test can watch every AWS call of a handler;
    one at a time per process, since handlers share the process environment.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = DEFAULT_PORT,
        settings: Mapping[str, str] | None = None,
        template: Path = ROOT / "template.yaml",
        snapshot_seconds: float = 5.0,
        report: Callable[[str, float], None] = lambda step, seconds: None,
        record_permissions: Path | None = None,
    ) -> None:
        self._settings = dict(settings or {})
        host = self._settings.get("HOST") or LOOPBACK
        self.url = f"http://{LOOPBACK if host == ANYWHERE else host}:{port}"
        self.tools_url = f"http://{LOOPBACK}:{port + 1}"
        self.admin_key = ""
        self.emulator_url = ""
        self.stack: Stack
        self.data_dir = data_dir.resolve()
        self._port, self._template = port, template
        self._snapshot_seconds, self._report = snapshot_seconds, report
        self._record_permissions = record_permissions
        self._undo = ExitStack()
        self._emulator: Emulator
        self._services: Services

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything; what was started is stopped again if a later step fails."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, newest first; the emulator saves its state last."""
        self._undo.close()

    @property
    def emulator_pid(self) -> int | None:
        """The emulator's process, while it runs."""
        return self._emulator.pid

    def check(self) -> None:
        """Raise when the emulator has died."""
        if not self.emulator_pid:
            raise self._emulator.why_dead()

    @property
    def refused(self) -> list[str]:
        """What functions asked of AWS without a permission, as AWS would word the refusals."""
        return list(self._services.guard.refused)

    def invoke(self, logical_id: str, event: Any) -> Any:
        """Invoke a function by its name in the template."""
        return self._services.invoke(logical_id, event)

    def _start(self) -> None:
        values = completed(self._settings, self._port + 1)
        folder = DataFolder(self.data_dir)
        self._undo.callback(folder.close)
        public = listen(self._settings.get("HOST") or LOOPBACK, self._port, "the API")
        self._undo.callback(public.close)
        internal = listen(LOOPBACK, self._port + 1, "the stand-ins")
        self._undo.callback(internal.close)
        emulator_port = folder.emulator_port or self._port + 2
        tied = ", to which the data is tied" if folder.emulator_port else ""
        listen(LOOPBACK, emulator_port, f"the emulator{tied}").close()

        with self._step("emulator"):
            log = folder.fresh_log("emulator.log")
            self._emulator = Emulator(folder.path, log, emulator_port, self._snapshot_seconds)
            self.emulator_url = self._emulator.url
            self._undo.callback(self._emulator.stop)
            self._emulator.start(folder.lock)
            # Not at the top: this second of imports passes while the emulator boots on another core.
            from local.services import Services

            self._emulator.wait_until_ready()
            folder.emulator_port = emulator_port
        services = Services(folder, self._emulator, values, self._record_permissions)
        with self._step("template"):
            self.stack = services.deploy(self._template)
        with self._step("functions"):
            self._undo.callback(services.stop)
            services.load_functions()
        with self._step("servers"):
            services.serve(public, internal)
        with self._step("data"):
            self.admin_key = services.seed(self.url)
            services.restart_interrupted()
        self._services = services

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self._report(name, time.monotonic() - begun)
