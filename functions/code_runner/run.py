"""Runs agents' own code, for the worker call_code; in an environment of one tenant, without permissions or network."""

from dataclasses import asdict
from typing import Any

from shared.domain import code_runner
from shared.domain.code_tasks import Task
from shared.telemetry import worker


@worker
def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    return asdict(code_runner.run(Task(**event)))
