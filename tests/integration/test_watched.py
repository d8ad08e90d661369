"""What watches the platform is deployed with it: the dashboard and the alarms, as far as the emulator has them."""

import json
import time
import uuid

import httpx
import pytest

from local.deploy import client
from local.runtime import Runtime
from tests.house.repository import resources
from tests.integration.neighbours import Neighbours


def test_the_dashboard_is_deployed_with_every_name_filled_in(platform: Runtime) -> None:
    name = platform.stack.resources["Dashboard"]
    text = client("cloudwatch", platform.emulator_url).get_dashboard(DashboardName=name)["DashboardBody"]
    assert "${" not in text
    assert platform.stack.resources["ProvisionQueue"].rpartition("/")[2] in text
    assert json.loads(text)["widgets"]


def test_the_alarms_tell_the_topic(platform: Runtime) -> None:
    alarms = client("cloudwatch", platform.emulator_url).describe_alarms()["MetricAlarms"]
    assert {alarm["AlarmName"] for alarm in alarms} == {
        platform.stack.resources[name] for name in resources("AWS::CloudWatch::Alarm")
    }
    topic = platform.stack.resources["AlarmTopic"]
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [topic] for alarm in alarms)


@pytest.mark.covers("POST /runs")
def test_a_run_that_failed_is_a_failure_of_the_machine_and_one_that_was_over_is_none(
    platform: Runtime, api: httpx.Client, neighbours: Neighbours
) -> None:
    """What `FailedRunsAlarm` counts. No worker finds a run that never was, or was ended before they came."""
    name = f"watched-{uuid.uuid4().hex[:8]}"
    neighbours.script[name] = [400]
    api.post("/agents", json={"name": name, "model": f"custom:{name}"}).raise_for_status()
    task = {"agent_id": name, "input_message": "go"}
    failed = api.post("/runs", json=task, headers={"Prefer": "respond-async"}).json()["id"]
    machine = platform.stack.machines["RunBackground"]
    states = client("stepfunctions", platform.emulator_url)
    over = str(uuid.uuid4())
    pointer = json.dumps({"tenant_id": "tenant_mine", "run_id": over})
    states.start_execution(stateMachineArn=machine, name=over, input=pointer)
    executions = machine.replace(":stateMachine:", ":execution:")
    for run_id, wanted in ((failed, "FAILED"), (over, "SUCCEEDED")):
        deadline = time.monotonic() + 60
        while (status := states.describe_execution(executionArn=f"{executions}:{run_id}")["status"]) == "RUNNING":
            assert time.monotonic() < deadline, "the machine is still at work"
            time.sleep(0.05)
        assert status == wanted
