"""How long does a function's environment take to start? `python -m benchmarks.cold_start` measures this alone.

INIT under Lambda's runtime interface emulator, of what `sam build` made, beside the usual: a hello-world with one boto3
client. Both in each round, so that a ratio says something on any machine. With `--all` every function.
"""

import datetime
import os
import re
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import Progress

from benchmarks import page, part
from tests.deploy import building, lambdas_python
from tests.deploy.real_runtime import Kit, Process
from tests.house.repository import functions

ROUNDS, QUICK_ROUNDS = 9, 1
BASELINE = "hello world, boto3 in its package"
# The folder and verb, and the share of the baseline that its INIT shall take at most.
TARGETS = {
    "agents/get": 0.6,
    "agents/create": 0.6,
    "runs/start": 0.6,
    "authorizer/authorize": 0.5,
    "agent_run/call_model": 1.2,
    "agent_run/call_tool": 0.5,
    "audit/record": 0.5,
}

_TOP = 10
_IMPORT_SAMPLES = part.rounds(3, 1)
# No route has it, and no worker finds in it what it looks for: after INIT nothing happens.
_NOTHING = {"httpMethod": "GET", "resource": "/", "path": "/", "headers": {}, "requestContext": {}}
_CONFIGURATION = {"Environment": {"Variables": {"TABLE_NAME": "table"}}, "FunctionName": "bench", "MemorySize": 512}
_NOBODY = "http://127.0.0.1:9"
_IMPORT = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s*(\S+)")
_HELLO = "def handler(event, context):\n    return {}\n"
_WITH_BOTO3 = f'import boto3\n\nclient = boto3.client("dynamodb")\n\n\n{_HELLO}'
# Ours is made with the first request; the hello-world's in INIT, as all examples do.
_AND_CLIENT = "from get import handler\nfrom shared.clients import aws\n\naws.dynamodb()\n"


@dataclass(frozen=True)
class _Subject:
    """What is started; `path` is where Python looks beside the package and the runtime: the layer, if it has one."""

    name: str
    package: Path
    handler: str
    path: str = ""


@dataclass(frozen=True)
class _Start:
    init_ms: float
    cpu_ms: float
    peak_mb: float


def steps() -> int:
    """How often `measure` tells its progress."""
    return _rounds() + 2


def measure(progress: Callable[[str], None], *, every: bool = False) -> dict[str, Any]:
    """Start everything once for the page cache, then some times, taking turns.

    Args:
        progress: told what begins.
        every: all functions that Lambda calls itself, and not those of `TARGETS` alone.

    Returns:
        A row for each subject, the import times of each function, and how all was sampled.
    """
    rounds = _rounds()
    built = building.build(lambda _: None)
    with TemporaryDirectory() as folder:
        scratch = Path(folder)
        kit = Kit(built, lambdas_python.make(scratch / "python"), scratch)
        ours = list(_ours(built, every=every))
        subjects = [*_compared(built, scratch), *ours]
        starts: dict[str, list[_Start]] = defaultdict(list)
        for number in range(rounds + 1):
            progress(f"cold starts, round {number} of {rounds}")
            for subject in subjects:
                found = _start(kit, subject)
                if number:
                    starts[subject.name].append(found)
        progress("imports")
        imports = {one.name: _imports(kit, one) for one in ours if one.name in TARGETS}
        rows = [_row(one, starts[one.name], starts[BASELINE]) for one in subjects]
    date = datetime.date.today().isoformat()
    return {"date": date, "rounds": rounds, "import_samples": _IMPORT_SAMPLES, "rows": rows, "imports": imports}


def _rounds() -> int:
    """How often each row is started."""
    return part.rounds(ROUNDS, QUICK_ROUNDS)


def _ours(built: Path, *, every: bool) -> Iterator[_Subject]:
    named = {one.name: one for one in functions() if one.script is None}
    for one in named.values() if every else map(named.__getitem__, TARGETS):
        yield _Subject(one.name, built / one.logical_id, one.properties["Handler"], _layer(built))


def _layer(built: Path) -> str:
    return f"{built / building.LAYER}/python"


def _compared(built: Path, scratch: Path) -> Iterator[_Subject]:
    alone, with_runtimes, with_own, with_client = (scratch / name for name in ("alone", "runtimes", "own", "client"))
    for folder, source in ((alone, _HELLO), (with_runtimes, _WITH_BOTO3), (with_own, _WITH_BOTO3)):
        folder.mkdir()
        (folder / "app.py").write_text(source)
    for name in lambdas_python.with_needed("boto3"):
        _pack(name, with_own)
    with_client.mkdir()
    (with_client / "app.py").write_text(_AND_CLIENT)
    path = os.pathsep.join((_layer(built), str(built / "AgentsGet")))
    yield _Subject(BASELINE, with_own, "app.handler")
    yield _Subject("hello world, the runtime's boto3", with_runtimes, "app.handler")
    yield _Subject("hello world, no boto3", alone, "app.handler")
    yield _Subject("agents/get, its client made in INIT too", with_client, "app.handler", path)


def _pack(name: str, folder: Path) -> None:
    """Put a distribution into a package as `sam build` does: the wheel's files, nothing compiled."""
    for file in distribution(name).files or ():
        if file.parts[0] != ".." and file.suffix != ".pyc":
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            copyfile(Path(str(file.locate())), folder / file)


def _environment(kit: Kit, subject: _Subject) -> dict[str, str]:
    return kit.environment(subject.package, _CONFIGURATION, _NOBODY) | {"PYTHONPATH": subject.path}


def _start(kit: Kit, subject: _Subject) -> _Start:
    process = Process(kit, subject.package, subject.handler, _environment(kit, subject))
    try:
        init_ms = process.initialise(_NOTHING)
        python = process.python()
        # Nanoseconds on a processor, by thread (proc(5), sched-stats of the kernel).
        spent = sum(int((thread / "schedstat").read_text().split()[0]) for thread in (python / "task").iterdir())
        (peak_kb,) = re.findall(r"VmHWM:\s+(\d+) kB", (python / "status").read_text())
    finally:
        process.end()
    return _Start(init_ms, spent / 1e6, int(peak_kb) / 1024)


def _row(subject: _Subject, starts: list[_Start], baseline: list[_Start]) -> dict[str, Any]:
    ratios = [one.init_ms / base.init_ms for one, base in zip(starts, baseline, strict=True)]
    init = [one.init_ms for one in starts]
    cpu_ms = min(one.cpu_ms for one in starts)
    return {
        "name": subject.name,
        "init_ms": round(statistics.median(init)),
        "init_ms_spread": [round(min(init)), round(max(init))],
        "ratio": round(statistics.median(init) / statistics.median(one.init_ms for one in baseline), 2),
        "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "target": TARGETS.get(subject.name),
        "cpu_ms": round(cpu_ms),
        "cpu_ratio": round(cpu_ms / min(one.cpu_ms for one in baseline), 2),
        "peak_mb": round(statistics.median(one.peak_mb for one in starts)),
        "package_kb": round(sum(f.stat().st_size for f in subject.package.rglob("*") if f.is_file()) / 1e3, 1),
    }


def _imports(kit: Kit, subject: _Subject) -> dict[str, dict[str, float]]:
    """The dearest modules that a function imports, ours and others', with the ms of each by itself."""
    command = [str(kit.python), "-X", "importtime", "-c", f"import {Path(subject.handler).stem}"]
    found: dict[str, list[int]] = defaultdict(list)
    for _ in range(_IMPORT_SAMPLES):
        environment = _environment(kit, subject)
        done = subprocess.run(
            command, cwd=subject.package, env=environment, stderr=subprocess.PIPE, text=True, check=True
        )
        for own, _cumulative, module in _IMPORT.findall(done.stderr):
            found[module].append(int(own))
    least = {module: round(min(samples) / 1000, 1) for module, samples in found.items()}
    dearest = sorted(least, key=lambda module: -least[module])
    own_module = Path(subject.handler).stem
    ours = [module for module in dearest if module.partition(".")[0] in {"shared", own_module}]
    others = [module for module in dearest if module not in set(ours)]
    return {kind: {one: least[one] for one in some[:_TOP]} for kind, some in (("ours", ours), ("others", others))}


def main() -> None:
    every = sys.argv[1:] == ["--all"]
    # The bar on the terminal, the figures alone in the output.
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("building", total=steps())
        found = measure(lambda name: bar.update(task, advance=1, description=name), every=every)
    if not every:
        page.keep("cold_start", found)
    print("\n".join(page.cold_start(found)))


if __name__ == "__main__":
    main()
