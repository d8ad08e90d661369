"""What watches the platform is deployed with it: the dashboard and the alarms, as far as the emulator has them."""

import json

from local.deploy import client
from local.runtime import Runtime
from tests.house.repository import resources


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
