"""Laws of the dashboard: what it draws is emitted, by names that are right, and nothing that is emitted is left out."""

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from shared import metrics
from tests.house.aws_metrics import METRICS, OURS
from tests.house.repository import ROOT, deployed, resources

_TEXT: str = yaml.safe_load((ROOT / "dashboard.yaml").read_text())["Fn::Sub"]
_BODY: dict[str, Any] = json.loads(_TEXT)
_WIDTH = 24
_PSEUDO = {"AWS::Region", "AWS::StackName"}
# How a dimension's value must be written: the type of what stands in the braces, and how its name is had.
_VALUES = {
    "FunctionName": ("AWS::Serverless::Function", ""),
    "QueueName": ("AWS::SQS::Queue", ".QueueName"),
    "StateMachineArn": ("AWS::Serverless::StateMachine", ""),
    "TableName": ("AWS::DynamoDB::Table", ""),
}
_FIXED = {"ApiName": "${AWS::StackName}", "Stage": "${Api.Stage}", metrics.SERVICE: "${AWS::StackName}"}
_OURS = {metric.name: metric for metric in metrics.METRICS}
_SEARCH = re.compile(
    r"SEARCH\('\{AgentPlatform,(?P<schema>[^}]+)\} MetricName=\"(?P<name>[\w.]+)\" "
    r"service=\"\$\{AWS::StackName\}\"', '(?:Sum|SampleCount)', 300\)"
)


def _entries() -> Iterator[list[Any]]:
    for widget in _BODY["widgets"]:
        yield from widget["properties"].get("metrics", ())


def _drawn() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of each metric that is drawn by name."""
    for namespace, name, *words in (entry for entry in _entries() if isinstance(entry[0], str)):
        pairs = [word for word in words if isinstance(word, str)]
        yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def _searched() -> Iterator[tuple[str, frozenset[str]]]:
    """Name and dimensions of each metric of ours that is drawn by a search."""
    for entry in _entries():
        if isinstance(entry[0], dict):
            found = _SEARCH.fullmatch(entry[0]["expression"])
            assert found, f"this test cannot read {entry[0]['expression']}"
            yield found["name"], frozenset(json.loads(f"[{found['schema']}]"))


def test_every_metric_drawn_is_kept_under_these_dimensions() -> None:
    for namespace, name, dimensions in _drawn():
        page, known = OURS if namespace == metrics.NAMESPACE else METRICS[namespace]
        assert name in known, f"{namespace} has no {name}, says {page}"
        assert frozenset(dimensions) in known[name], f"{name} is not kept by {sorted(dimensions)}"
    for name, dimensions_of_search in _searched():
        assert dimensions_of_search in OURS[1][name], f"{name} is not kept by {sorted(dimensions_of_search)}"


def test_every_dimension_has_a_value_that_occurs() -> None:
    for namespace, name, dimensions in _drawn():
        for dimension, value in dimensions.items():
            if dimension in _FIXED:
                assert value == _FIXED[dimension], name
            elif namespace == metrics.NAMESPACE:
                assert value in _OURS[name].dimensions[dimension], f"{name} never has {dimension} {value}"
            elif dimension in _VALUES:
                kind, way = _VALUES[dimension]
                assert value in {f"${{{made}{way}}}" for made in resources(kind)}, f"{name}: no {dimension} is {value}"
            else:
                assert dimension == "Operation"
                assert value in {"GetItem", "Query", "PutItem", "TransactWriteItems"}


def test_every_value_of_a_small_dimension_is_drawn() -> None:
    """A run that timed out, or a limit that refuses, must not be missing from the picture."""
    for metric in (metrics.RUNS_FINISHED, metrics.LIMITS_REFUSED, metrics.RECORDS_PARKED, metrics.TOKENS):
        for dimension, values in metric.dimensions.items():
            drawn = {dimensions[dimension] for _, name, dimensions in _drawn() if name == metric.name}
            assert drawn == {*values}, f"{metric.name}: {dimension}"


def test_every_metric_of_ours_is_drawn_and_shown_to_be_emitted() -> None:
    drawn = {name for namespace, name, _ in _drawn() if namespace == metrics.NAMESPACE}
    assert drawn == {*_OURS}, "the dashboard and shared/metrics.py name the same metrics"
    failing = {metric.name for metric in metrics.METRICS if metric.errors}
    assert {name for name, _ in _searched()} <= failing
    proofs = "".join((ROOT / "tests" / "unit" / f"{name}.py").read_text() for name in ("test_metrics", "test_logs"))
    constants = {name: value.name for name, value in vars(metrics).items() if isinstance(value, metrics.Metric)}
    unproven = [name for key, name in constants.items() if f"metrics.{key}" not in proofs and f'"{name}"' not in proofs]
    assert not unproven, f"tests/unit/test_metrics.py shows what is emitted, and not these: {unproven}"


def test_every_alarm_is_on_the_dashboard() -> None:
    (alarms,) = [w["properties"]["alarms"] for w in _BODY["widgets"] if w["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"${{{name}.Arn}}" for name in resources("AWS::CloudWatch::Alarm"))


def test_every_name_in_braces_is_in_the_template() -> None:
    names = {name.partition(".")[0] for name in re.findall(r"\$\{([^}]+)\}", _TEXT)}
    assert names <= _PSEUDO | deployed()["Resources"].keys()


def test_the_widgets_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in _BODY["widgets"]:
        assert widget["x"] + widget["width"] <= _WIDTH
        rows = range(widget["y"], widget["y"] + widget["height"])
        cells = {(x, y) for x in range(widget["x"], widget["x"] + widget["width"]) for y in rows}
        assert not cells & taken, widget["properties"]["title"]
        taken |= cells
