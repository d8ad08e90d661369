"""The console of the local runtime: ``python -m local``."""

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from local import walls
from local.collector import settled
from local.errors import LocalError
from local.runtime import ROOT, Runtime
from local.settings import from_environment, port_of

_WORDS = {
    "emulator": "AWS emulator started",
    "template": "template.yaml deployed",
    "functions": "functions loaded",
    "servers": "API and stand-ins serving",
    "data": "demo data ready",
}
_WATCH_SECONDS = 0.5


def main() -> int:
    """Run until Ctrl-C or SIGTERM; the exit code says whether something went wrong."""
    begun = time.monotonic()
    # SIGINT by name: a script that starts us in the background has it ignored.
    stops = [signal.SIGINT, signal.SIGTERM]
    # A hang-up that is ignored from the start means nohup: the closed terminal is no reason to stop.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        stops.append(signal.SIGHUP)
    for number in stops:
        signal.signal(number, _interrupt)
    runtime: Runtime | None = None
    try:
        settings = from_environment(os.environ)
        runtime = Runtime(
            data_dir=Path(os.environ.get("LOCAL_DATA_DIR") or ROOT / ".local"),
            port=port_of(settings),
            settings=settings,
            template=Path(os.environ.get("LOCAL_TEMPLATE") or ROOT / "template.yaml"),
            report=_report,
        )
        runtime.start()
        settled()
        _welcome(runtime, time.monotonic() - begun)
        _warn(walls.gaps(walls.standing()))
        while True:
            time.sleep(_WATCH_SECONDS)
            runtime.check()
    except KeyboardInterrupt:
        _say("\nStopping ...")
        return 0
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        # The state is being saved: a second Ctrl-C must not cut that off.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if runtime is not None:
            runtime.stop()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _report(step: str, seconds: float) -> None:
    _say(f"  {_WORDS[step]:<28}{seconds:6.2f} s")


def _welcome(runtime: Runtime, seconds: float) -> None:
    _say(
        f"""
Agent Platform is ready after {seconds:.1f} s: {runtime.url}
Its documentation: {runtime.url}/docs
Admin key of the demo tenant: {runtime.admin_key}
Echo tool for your agents: {runtime.tools_url}/echo

Try it:
  curl -s {runtime.url}/agents -H 'X-API-Key: {runtime.admin_key}' \\
    -H 'Content-Type: application/json' -d '{{"name": "hello-{int(time.time())}"}}'

Ctrl-C stops it; the data stays in .local/ ("make clean" forgets it)."""
    )


def _warn(gaps: list[str]) -> None:
    if gaps:
        _say("\nCareful: this machine cannot shut in agents' own code whole (docs/code-agents.md). It could:")
        for gap in gaps:
            _say(f"  - {gap}")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
