"""Laws of the alarms: each watches what is there, tells the topic, and is explained."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from shared import metrics
from tests.house.aws_metrics import METRICS, OURS
from tests.house.repository import ROOT, deployed, resources

ALARMS = resources("AWS::CloudWatch::Alarm")
_TOPIC = [{"Ref": "AlarmTopic"}]
# What a dimension must be made of: the type of the resource, and how its name is had.
_VALUES = {
    "FunctionName": ("AWS::Serverless::Function", "Ref"),
    "QueueName": ("AWS::SQS::Queue", "QueueName"),
    "StateMachineArn": ("AWS::Serverless::StateMachine", "Ref"),
    "TableName": ("AWS::DynamoDB::Table", "Ref"),
}
_NO_NAMES = {"FILL", "IF", "MAX", "SUM"}


def _watched(alarm: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Namespace, name and dimensions of each metric that an alarm reads."""
    metrics = [entry["MetricStat"]["Metric"] for entry in alarm.get("Metrics", ()) if "MetricStat" in entry]
    for metric in metrics or [alarm]:
        dimensions = {one["Name"]: one["Value"] for one in metric.get("Dimensions", ())}
        yield metric["Namespace"], metric["MetricName"], dimensions


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_watches_metrics_that_aws_keeps(name: str) -> None:
    for namespace, metric, dimensions in _watched(ALARMS[name]):
        page, known = OURS if namespace == metrics.NAMESPACE else METRICS[namespace]
        assert metric in known, f"{name}: {namespace} has no {metric}, says {page}"
        assert frozenset(dimensions) in known[metric], f"{name}: {metric} is not kept by {sorted(dimensions)}"


@pytest.mark.parametrize("name", ALARMS)
def test_a_dimension_is_the_name_of_what_the_template_makes(name: str) -> None:
    for _, _, dimensions in _watched(ALARMS[name]):
        for dimension, value in dimensions.items():
            if dimension in _VALUES:
                kind, way = _VALUES[dimension]
                made, *rest = value["Fn::GetAtt"] if "Fn::GetAtt" in value else [value["Ref"], "Ref"]
                assert rest == [way], f"{name}: {dimension} is had by {way}"
                assert deployed()["Resources"][made]["Type"] == kind, f"{name}: {made} is no {kind}"
            elif dimension == metrics.SERVICE:
                assert value == deployed()["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
            elif dimension == "ApiName":
                assert value == resources("AWS::Serverless::Api")["Api"]["Name"]
            else:
                stage = resources("AWS::Serverless::Api")["Api"]["StageName"]
                assert (dimension, value) == ("Stage", stage), f"{name}: what is {dimension}?"


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_the_topic_when_it_begins_and_ends(name: str) -> None:
    alarm = ALARMS[name]
    assert name.endswith("Alarm")
    assert alarm["AlarmActions"] == alarm["OKActions"] == _TOPIC
    assert alarm["TreatMissingData"] == "notBreaching", f"{name}: no traffic is no trouble"
    assert alarm["AlarmDescription"].endswith("See docs/alarms.md.")


@pytest.mark.parametrize("name", [name for name, alarm in ALARMS.items() if "Metrics" in alarm])
def test_an_expression_reads_all_its_metrics_and_no_others(name: str) -> None:
    entries = ALARMS[name]["Metrics"]
    texts = [entry["Expression"] for entry in entries if "Expression" in entry]
    read = {word for text in texts for word in re.findall(r"[A-Za-z]\w*", text)} - _NO_NAMES
    returned = [entry["Id"] for entry in entries if entry.get("ReturnData", True)]
    assert len(returned) == 1, f"{name}: one series decides"
    assert read == {entry["Id"] for entry in entries} - {*returned}, f"{name}: named and not read, or the other way"


def test_every_dead_letter_queue_has_an_alarm() -> None:
    watched = {
        dimensions["QueueName"]["Fn::GetAtt"][0]
        for alarm in ALARMS.values()
        for _, metric, dimensions in _watched(alarm)
        if metric == "ApproximateNumberOfMessagesVisible"
    }
    assert watched == {name for name in resources("AWS::SQS::Queue") if name.endswith("DeadLetters")}


def test_every_alarm_is_explained() -> None:
    explained = re.findall(r"^## (\w+Alarm)$", (ROOT / "docs" / "alarms.md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(ALARMS), "docs/alarms.md has a section for each alarm of the template"


def test_only_cloudwatch_of_this_account_may_publish() -> None:
    here = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (policy,) = [p for p in resources("AWS::SNS::TopicPolicy").values() if p["Topics"] == _TOPIC]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement == {
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": _TOPIC[0],
        "Condition": here,
    }
    key = {"Fn::If": ["TellsByEmail", {"Ref": "AlarmKey"}, {"Ref": "AWS::NoValue"}]}
    assert resources("AWS::SNS::Topic")["AlarmTopic"]["KmsMasterKeyId"] == key
    *_, service = resources("AWS::KMS::Key")["AlarmKey"]["KeyPolicy"]["Statement"]
    assert service["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert (service["Action"], service["Condition"]) == (["kms:Decrypt", "kms:GenerateDataKey"], here)
