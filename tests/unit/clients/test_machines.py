"""Starting the machine and waiting for it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from shared.clients import aws, machines
from shared.errors import Unavailable
from tests.unit.support import runs
from tests.unit.support.gateway import Api

POINTER = {"tenant_id": "tenant_a", "run_id": "run-1"}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, setting: Callable[[str, str], None]) -> Callable[[Any], list[Any]]:
    """Makes Step Functions answer like this; gives the list of what it was sent."""
    setting("RUN_SYNC_MACHINE", "arn:machine")

    def answering(answer: Any) -> list[Any]:
        sent: list[Any] = []

        def start(**given: Any) -> Any:
            sent.append(given)
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(aws.stepfunctions(), "start_sync_execution", start)
        return sent

    return answering


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "TIMED_OUT"])
def test_execution_that_ended(answers: Callable[[Any], list[Any]], status: str) -> None:
    sent = answers({"status": status})
    assert machines.run_and_wait(POINTER) is True
    (given,) = sent
    assert (given["stateMachineArn"], given["name"], json.loads(given["input"])) == ("arn:machine", "run-1", POINTER)


def test_execution_that_outlives_the_wait(answers: Callable[[Any], list[Any]]) -> None:
    sent = answers(ReadTimeoutError(endpoint_url="https://states"))
    assert machines.run_and_wait(POINTER) is False
    assert len(sent) == 1, "never started twice"


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "StateMachineDoesNotExist", "Message": "arn:secret"}}, "StartSyncExecution"),
        EndpointConnectionError(endpoint_url="https://states"),
    ],
)
def test_machine_that_does_not_start(answers: Callable[[Any], list[Any]], error: Exception) -> None:
    answers(error)
    with pytest.raises(Unavailable) as unavailable:
        machines.run_and_wait(POINTER)
    assert "arn:" not in unavailable.value.detail


def test_run_whose_machine_does_not_start(answers: Callable[[Any], list[Any]], api: Api) -> None:
    runs.agent(api)
    answers(EndpointConnectionError(endpoint_url="https://states"))
    answer = api.post("/runs", {"agent_id": "support", "input_message": "Hi"})
    assert (answer.status, answer.code) == (503, "unavailable")


@pytest.mark.parametrize("qualifier", ["", ":live"])
def test_execution_is_stopped_by_the_name_of_its_machine(
    monkeypatch: pytest.MonkeyPatch, setting: Callable[[str, str], None], qualifier: str
) -> None:
    setting("RUN_BACKGROUND_MACHINE", f"arn:aws:states:eu-west-1:123456789012:stateMachine:Runs{qualifier}")
    stopped: list[str] = []
    monkeypatch.setattr(
        aws.stepfunctions_control(), "stop_execution", lambda **given: stopped.append(given["executionArn"])
    )
    machines.stop_background("run-1")
    assert stopped == ["arn:aws:states:eu-west-1:123456789012:execution:Runs:run-1"]


def test_client_waits_as_long_as_the_setting_says_and_never_repeats() -> None:
    config: Any = aws.stepfunctions().meta.config
    assert (config.read_timeout, config.retries["total_max_attempts"]) == (25, 1)
