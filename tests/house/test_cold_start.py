"""Laws of a cold start: what a function does while it is imported, counted and not timed."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.house.repository import FUNCTIONS, ROOT, functions

LAYER = ROOT / "layers" / "shared"
WRAPPER = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/bootstrap"}
IN_LAMBDA = {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}
# The answer of tools/list_types, which is the same for everybody.
MADE_WHOLE = {"InternalTool", "ToolType"}

# Imports functions as Lambda does, though one after another, and says how each left the collector and our models.
_PROBE = """
import gc, importlib.util, json, sys
from shared import cold_start
from pydantic import BaseModel

def models(of):
    for one in of.__subclasses__():
        yield one
        yield from models(one)

for number, file in enumerate(sys.argv[1:]):
    cold_start.begin()
    rests = not gc.isenabled()
    spec = importlib.util.spec_from_file_location(f"probe_{number}", file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    ours = [one for one in models(BaseModel) if one.__module__.startswith("shared.")]
    built = [one.__qualname__ for one in ours if one.__pydantic_complete__]
    print(json.dumps([file, {"rests": rests, "works": gc.isenabled(), "keeps": gc.get_freeze_count() > 0}, built]))
"""


def _run(code: str, variables: dict[str, str], *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"PYTHONPATH": str(LAYER)} | variables
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _imported(variables: dict[str, str], *files: str) -> dict[str, tuple[dict[str, bool], list[str]]]:
    lines: list[Any] = [json.loads(line) for line in _run(_PROBE, variables, *files).splitlines()]
    return {file: (collector, built) for file, collector, built in lines}


@pytest.mark.parametrize("server", [False, True])
def test_in_lambda_the_collector_rests_and_nobody_builds_models_in_advance(server: bool) -> None:
    files = [str(function.file) for function in functions() if (function.script is not None) == server]
    found = _imported(IN_LAMBDA | (WRAPPER if server else {}), *files)
    assert found.keys() == set(files)
    for file, (collector, built) in found.items():
        assert collector == {"rests": True, "works": True, "keeps": True}, file
        # A server of streams has many threads, and no two must build one model.
        assert bool(set(built) - MADE_WHOLE) == server, f"{file} builds {built}; derive from shared.domain.fields"


def test_elsewhere_nothing_is_changed() -> None:
    file = str(FUNCTIONS / "agents" / "get.py")
    collector, built = _imported({}, file)[file]
    assert collector == {"rests": False, "works": True, "keeps": False}
    assert built


# What is dear to import, and what each of these functions imports of it.
DEAR = (
    "asyncio", "aws_lambda_powertools.event_handler", "aws_lambda_powertools.event_handler.appsync",
    "aws_lambda_powertools.tracing", "aws_lambda_powertools.utilities.data_classes.s3_event", "boto3", "h11", "httpx",
    "httpx2", "jsonschema", "jwt", "openai", "openai.types.responses.response", "s3transfer", "uvicorn",
)  # fmt: skip
BROUGHT: dict[str, tuple[set[str], int]] = {
    "agents/get": ({"aws_lambda_powertools.event_handler"}, 49),
    "authorizer/authorize": ({"jwt"}, 37),
    "audit/record": (set(), 33),
    "tenants/provision": (set(), 25),
    "runs/call_up": (set(), 40),
    "agent_run/call_code": (set(), 53),
    "agent_run/call_model": ({"asyncio", "httpx2", "openai"}, 51),
    "agent_run/call_tool": ({"h11"}, 57),
    "agent_run/fail_run": (set(), 25),
    "code_runner/run": (set(), 16),
}
"""Beside it: how many modules of ours, at most."""

_COUNTS = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("probe", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps([name for name in sys.modules if name in sys.argv[2:] or name.startswith("shared.")]))
"""


@pytest.mark.parametrize("function", BROUGHT)
def test_a_cold_start_imports_no_more_than_it_did(function: str) -> None:
    dear, most = BROUGHT[function]
    done = _run(_COUNTS, IN_LAMBDA, str(FUNCTIONS / f"{function}.py"), *DEAR)
    found = set(json.loads(done))
    assert found.intersection(DEAR) == dear
    ours = sorted(name for name in found if name.startswith("shared."))
    assert len(ours) <= most, f"import it where it is needed, or raise the figure if it is worth it: {ours}"


@pytest.mark.parametrize("file", sorted(FUNCTIONS.rglob("*.py")), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_function_imports_nothing_of_others_before_ours(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    others = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"shared"}
    assert not others, f"take {others} from a module of shared, which imports as a cold start needs it"
