"""Laws of the metrics: declared in one table, emitted somewhere, counted by nothing that a tenant chooses."""

import ast
import re
from typing import get_args

from shared import errors, metrics
from shared.clients import http_errors
from shared.clients.http_errors import HttpError
from shared.domain.run_records import Status
from shared.errors import RunError
from tests import metrics_table
from tests.house.repository import FUNCTIONS, ROOT, functions, shown, syntax

SHIPPED = sorted((ROOT / "layers" / "shared" / "shared").rglob("*.py"))
_BY_CONSTANT = {
    name: value for name, value in vars(metrics).items() if isinstance(value, metrics.Metric) and name.isupper()
}
_MOST_SERIES = 150
"""Series that a stack could have with all its errors but those of tools; each costs up to 0.30 dollars a month."""


def _strings_in_calls(name: str) -> set[str]:
    """The literal first arguments of the calls of a function in what ships."""
    return {
        str(node.args[0].value)
        for file in SHIPPED
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == name
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }


def _keywords(name: str) -> set[str]:
    """The literal values that are given for a keyword, anywhere in what ships."""
    return {
        str(keyword.value.value)
        for file in SHIPPED
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == name and isinstance(keyword.value, ast.Constant)
    }


def test_the_table_names_each_metric_once() -> None:
    assert sorted(_BY_CONSTANT.values(), key=id) == sorted(metrics.METRICS, key=id), "METRICS lists them all"
    names = [metric.name for metric in metrics.METRICS]
    assert len(names) == len(set(names))
    assert not [name for name in names if not re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", name)]


def test_every_metric_is_emitted() -> None:
    text = "".join(file.read_text() for file in SHIPPED)
    silent = [name for name in _BY_CONSTANT if f"metrics.{name}: " not in text and f"metrics.{name}]" not in text]
    assert not silent, f"emit them by shared.telemetry.measure, or take them out of the table: {silent}"


def test_metrics_come_from_one_place() -> None:
    makers = [shown(file) for file in (*SHIPPED, *FUNCTIONS.rglob("*.py")) if "CloudWatchMetrics" in file.read_text()]
    users = [shown(file) for file in SHIPPED if "cloudwatch_emf" in file.read_text()]
    assert (makers, users) == ([], ["layers/shared/shared/telemetry.py"])


def test_every_dimension_has_a_closed_set_of_values() -> None:
    for metric in metrics.METRICS:
        sets = [*metric.dimensions.values(), *([metric.errors] if metric.errors else [])]
        assert all(0 < len(values) == len(set(values)) for values in sets), metric.name
        assert not {"tenant_id", "run_id", "user_id", "agent_id", "gen_ai.request.model"} & metric.dimensions.keys()


def test_runs_are_counted_by_what_they_can_end_with() -> None:
    unended = {"queued", "running", "waiting"}
    assert {*metrics.RUNS_FINISHED.dimensions["run.status"]} == {*get_args(Status)} - unended
    of_classes = {
        kind.stop_reason for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RunError)
    }
    limits = {message.partition(":")[0] for message in _limits()}
    told = {"timeout", "tool_error", "max_seconds"}
    # `failures.told` returns these two beside what stands in calls.
    needed = of_classes | limits | told | _keywords("stop_reason")
    assert {*metrics.RUNS_FINISHED.errors} == needed - {"completed", "cancelled"}


def _limits() -> set[str]:
    """How the messages begin that name a limit."""
    found = re.findall(r'LimitExceeded\(\s*f?"(\w+):', "".join(file.read_text() for file in SHIPPED))
    return {*found, "budget_tokens", "budget_cost"}


def test_tool_errors_are_those_that_the_code_can_raise() -> None:
    of_clients = {
        kind.code for kind in vars(http_errors).values() if isinstance(kind, type) and issubclass(kind, HttpError)
    }
    needed = _strings_in_calls("ToolError") | of_clients | {"unknown", "http_3xx", "http_4xx", "http_5xx"}
    assert {*metrics.TOOL_DURATION.errors} == needed


def test_the_series_of_a_stack_stay_few() -> None:
    count = 0
    for metric in metrics.METRICS:
        series = 1
        for values in metric.dimensions.values():
            series *= len(values)
        count += series * (1 if metric is metrics.TOOL_DURATION else 1 + len(metric.errors))
    assert count <= _MOST_SERIES, f"{count} series: take a dimension out"


def test_every_parked_record_names_its_queue() -> None:
    settings = {name for f in functions() for name in f.properties.get("Environment", {}).get("Variables", {})}
    parking = {name.removesuffix("_DEAD_LETTERS").lower() for name in settings if name.endswith("_DEAD_LETTERS")}
    assert parking == {*metrics.RECORDS_PARKED.dimensions["queue"]}


def test_the_document_is_made_from_the_table() -> None:
    assert metrics_table.DOCUMENT.read_text() == metrics_table.generate(), "run python -m tests.metrics_table"
