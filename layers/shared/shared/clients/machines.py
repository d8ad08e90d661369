"""The state machine that runs agents."""

import json
import os

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from shared.clients import aws
from shared.errors import Unavailable


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
    try:
        aws.stepfunctions().start_execution(
            stateMachineArn=os.environ["RUN_SYNC_MACHINE"], name=pointer["run_id"], input=json.dumps(pointer)
        )
    except aws.stepfunctions().exceptions.ExecutionAlreadyExists:
        return
    except (ClientError, BotoCoreError) as error:
        raise Unavailable("The run could not be started; try again.") from error
