"""Laws of imports: layers point downwards, and a cold start loads no more than its function needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.repository import FUNCTIONS, ROOT, functions

LAYER = ROOT / "layers" / "shared"
HEAVY = ("httpx", "httpx2", "jsonschema", "openai", "uvicorn")

# Imports every file as Lambda does, by its own path, and says which modules each one brought.
_PROBE = """
import importlib.util, json, sys
heavy, files = json.loads(sys.argv[1])
seen, brought = set(), {}
for number, file in enumerate(files):
    spec = importlib.util.spec_from_file_location(f"probe_{number}", file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    brought[file] = sorted({name for name in heavy if name in sys.modules} - seen)
    seen |= set(brought[file])
print(json.dumps(brought))
"""


def _in_layer(*command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(LAYER)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def _brought(files: list[Path], heavy: tuple[str, ...] = HEAVY) -> dict[str, list[str]]:
    done = _in_layer(sys.executable, "-c", _PROBE, json.dumps([heavy, [str(file) for file in files]]))
    assert done.returncode == 0, done.stderr
    return {str(Path(file).relative_to(FUNCTIONS)): names for file, names in json.loads(done.stdout).items()}


def test_the_layers_hold() -> None:
    done = _in_layer(str(Path(sys.executable).with_name("lint-imports")), "--no-logo")
    assert done.returncode == 0, f"run lint-imports; turn the import round, or move what is imported:\n{done.stdout}"


def test_a_cold_start_of_the_api_loads_nothing_heavy() -> None:
    light = [function.file for function in functions() if function.file.parent.name != "agent_run"]
    heavy = {file: names for file, names in _brought(light).items() if names}
    assert not heavy, f"import it where it is used, or not at all (it costs up to 900 ms of cold start): {heavy}"


def test_only_who_deals_with_tokens_loads_what_makes_them() -> None:
    others = [f.file for f in functions() if f.file.parent.name not in {"agent_run", "auth", "authorizer"}]
    found = {file: names for file, names in _brought(others, ("jwt",)).items() if names}
    assert not found, f"the modules of logins and tokens are for functions/auth and the authorizer: {found}"


@pytest.mark.parametrize(
    ("worker", "needless"),
    [
        ("call_model", {"jsonschema", "httpx"}),
        ("call_tool", {"openai"}),
        ("call_code", set(HEAVY)),
        ("fail_run", set(HEAVY)),
    ],
)
def test_a_cold_start_of_a_worker_loads_what_it_needs(worker: str, needless: set[str]) -> None:
    (names,) = _brought([FUNCTIONS / "agent_run" / f"{worker}.py"]).values()
    assert not needless.intersection(names), f"{worker} does not need all of {names}; import it where it is used"
