"""openapi.json against the platform: generated requests to every operation, all checks of Schemathesis on.

`make test` sends at least 2,000, `make contract` at least 50,000. The seed is fixed; a failure prints its curl line.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.runtime import Runtime

_ROOT = Path(__file__).parents[2]
_CASES = int(os.environ.get("CONTRACT_CASES", "2000"))
_SEED = "20261121"


@pytest.fixture(scope="module")
def report(platform: Runtime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Schemathesis found, as its JSON report says, in a tenant of its own, with lists of its own."""
    folder = tmp_path_factory.mktemp("contract")
    per_operation = 1 + _CASES // _operations()
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "--config-file",
        str(Path(__file__).with_name("schemathesis.toml")),
        "run",
        str(_ROOT / "openapi.json"),
        f"--url={platform.url}",
        "--header=X-API-Key: generated",
        "--checks=all",
        f"--max-examples={per_operation}",
        f"--seed={_SEED}",
        "--generation-database=none",
        "--continue-on-failure",
        "--request-timeout=40",
        "--no-color",
        "--report=json",
        f"--report-dir={folder}",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    print(done.stdout[-20_000:], done.stderr[-2_000:])
    (found,) = folder.glob("*.json")
    return dict(json.loads(found.read_text()))


def _operations() -> int:
    document = json.loads((_ROOT / "openapi.json").read_text())
    return sum(len(item) for item in document["paths"].values())


def test_every_operation_keeps_to_the_document(report: dict[str, Any]) -> None:
    assert report["operations"]["tested"] == _operations()
    assert report["test_cases"]["generated"] >= _CASES
    assert report["failures"] == []
    assert report["errors"] == []
