"""Goes on with the executions that a restart of the emulator cut off.

On AWS, Step Functions outlives whatever calls it. The emulator ends with the runtime and calls what was running
failed; starting it again with the same input gives the platform what it would have on AWS, since a run goes on
from its event log.
"""

import re
from collections.abc import Iterable
from typing import Any

_CUT_OFF = "States.ServiceRestart"
_SUFFIX = re.compile(r"\.(\d+)$")
_LONGEST_NAME = 80


def restart(stepfunctions: Any, machines: Iterable[str]) -> int:
    """Start every interrupted execution once more, and say how many there were.

    A restarted execution carries the next number after its name. So a later start finds its name taken, and one
    that is interrupted again is restarted again.
    """
    restarted = 0
    pages = stepfunctions.get_paginator("list_executions")
    for machine in machines:
        for page in pages.paginate(stateMachineArn=machine, statusFilter="FAILED"):
            for listed in page["executions"]:
                execution = stepfunctions.describe_execution(executionArn=listed["executionArn"])
                if execution.get("error") == _CUT_OFF:
                    restarted += _start_again(stepfunctions, execution)
    return restarted


def _start_again(stepfunctions: Any, execution: dict[str, Any]) -> bool:
    try:
        stepfunctions.start_execution(
            stateMachineArn=execution["stateMachineArn"],
            name=next_name(execution["name"]),
            input=execution["input"],
        )
    except stepfunctions.exceptions.ExecutionAlreadyExists:
        return False
    return True


def next_name(name: str) -> str:
    """The name of an execution's next attempt: ``run``, ``run.1``, ``run.2``, ..."""
    found = _SUFFIX.search(name)
    number = int(found[1]) + 1 if found else 1
    suffix = f".{number}"
    return name[: found.start() if found else None][: _LONGEST_NAME - len(suffix)] + suffix
