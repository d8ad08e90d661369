"""The state machine that runs agents: EXPRESS for runs that are waited for, STANDARD for those in the background."""

import contextlib
import json
import os
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from shared.clients import aws
from shared.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient


def run_and_wait(pointer: dict[str, str]) -> bool:
    """Start the EXPRESS machine and wait for it, at most `SYNC_WAIT_SECONDS`.

    Returns:
        True if the execution ended, False if we stopped waiting for it. The API has no stop for EXPRESS executions
        (StopExecution, "not supported by EXPRESS"), so it goes on; were it lost, the run's deadline would end the run.

    Raises:
        Unavailable: the machine could not be started.
    """
    try:
        aws.stepfunctions().start_sync_execution(
            stateMachineArn=os.environ["RUN_SYNC_MACHINE"], name=pointer["run_id"], input=json.dumps(pointer)
        )
    except ReadTimeoutError:
        return False
    except (ClientError, BotoCoreError) as error:
        raise Unavailable("The run could not be started; try again.") from error
    return True


def start_express(pointer: dict[str, str]) -> None:
    """Start the EXPRESS machine and do not wait for it.

    Raises:
        Unavailable: the machine could not be started.
    """
    _start(aws.stepfunctions(), "RUN_SYNC_MACHINE", pointer)


def start_background(pointer: dict[str, str]) -> None:
    """Start the STANDARD machine, once: its executions bear the run's name.

    Raises:
        Unavailable: the machine could not be started.
    """
    _start(aws.stepfunctions_control(), "RUN_BACKGROUND_MACHINE", pointer)


def stop_background(run_id: str) -> None:
    """Stop the STANDARD machine of a run that has ended already. Should this fail, its next worker finds the end."""
    # An execution bears the name of its machine, not of the alias that it was started by.
    machine = ":".join(os.environ["RUN_BACKGROUND_MACHINE"].split(":")[:7])
    with contextlib.suppress(ClientError, BotoCoreError):
        aws.stepfunctions_control().stop_execution(
            executionArn=f"{machine.replace(':stateMachine:', ':execution:')}:{run_id}"
        )


def _start(client: "SFNClient", machine: str, pointer: dict[str, str]) -> None:
    try:
        client.start_execution(stateMachineArn=os.environ[machine], name=pointer["run_id"], input=json.dumps(pointer))
    except client.exceptions.ExecutionAlreadyExists:
        return
    except (ClientError, BotoCoreError) as error:
        raise Unavailable("The run could not be started; try again.") from error
