"""Laws of what the platform says of itself: where each function's lines go, how long they stay, who may see what."""

import json
import re
from pathlib import Path
from typing import Any

from tests.house.repository import FUNCTIONS, deployed, functions, resources

GROUPS = resources("AWS::Logs::LogGroup")
_GLOBALS: dict[str, Any] = deployed()["Globals"]["Function"]


def _group_of(folder: str) -> str:
    return "".join(word.capitalize() for word in folder.split("_")) + "Logs"


def test_every_function_writes_to_the_group_of_its_folder() -> None:
    strays = [
        function.name
        for function in functions()
        if function.properties.get("LoggingConfig") != {"LogGroup": {"Ref": _group_of(function.file.parent.name)}}
    ]
    assert not strays, f"LoggingConfig: {{ LogGroup: !Ref <Folder>Logs }}, and no more than that: {strays}"


def test_every_folder_has_a_group_and_no_group_is_left_over() -> None:
    folders = [folder.name for folder in FUNCTIONS.iterdir() if folder.is_dir()]
    names = {_group_of(folder): f"/aws/lambda/${{AWS::StackName}}/{folder}" for folder in folders}
    names |= {
        "RunLogs": "/aws/vendedlogs/states/${AWS::StackName}",
        "AccessLogs": "/aws/apigateway/${AWS::StackName}",
    }
    assert {name: group["LogGroupName"]["Fn::Sub"] for name, group in GROUPS.items()} == names


def test_no_level_of_logs_takes_the_metrics_away() -> None:
    """Lambda takes a line without a level for INFO, and a metric's line has none."""
    config = _GLOBALS["LoggingConfig"]
    assert config["LogFormat"] == "JSON"
    assert config["ApplicationLogLevel"] == {"Fn::If": ["Debugging", "DEBUG", "INFO"]}
    assert _GLOBALS["Environment"]["Variables"]["POWERTOOLS_LOG_LEVEL"] == {"Ref": "LogLevel"}


def test_everything_is_traced_and_no_function_loads_a_tracer() -> None:
    assert _GLOBALS["Tracing"] == "Active"
    (api,) = resources("AWS::Serverless::Api").values()
    assert api["TracingEnabled"] is True
    assert all(machine["Tracing"] == {"Enabled": True} for machine in _machines().values())
    ships = [*FUNCTIONS.rglob("*.py"), *Path(FUNCTIONS.parent / "layers").rglob("*.py")]
    loading = [file.name for file in ships if re.search(r"aws_xray_sdk|import Tracer|\.tracing", file.read_text())]
    assert not loading, f"the X-Ray SDK costs a cold start 85 ms and more: {loading}"


def test_machines_log_names_of_errors_and_no_data() -> None:
    for name, machine in _machines().items():
        said = machine["Logging"]
        (target,) = said["Destinations"]
        assert (said["Level"], said["IncludeExecutionData"]) == ("ERROR", False), name
        assert target["CloudWatchLogsLogGroup"]["LogGroupArn"] == {"Fn::GetAtt": ["RunLogs", "Arn"]}, name


def _machines() -> dict[str, dict[str, Any]]:
    return resources("AWS::Serverless::StateMachine")


def test_the_access_log_is_json_and_holds_nothing_that_a_client_wrote() -> None:
    (api,) = resources("AWS::Serverless::Api").values()
    condition, settings, otherwise = api["AccessLogSetting"]["Fn::If"]
    assert (condition, otherwise) == ("LogsAccess", {"Ref": "AWS::NoValue"})
    line = json.loads(settings["Format"])
    assert line.keys() >= {"request_id", "route", "status", "latency_ms", "tenant_id"}
    allowed = r"\$context\.(requestId|requestTimeEpoch|xrayTraceId|httpMethod|resourcePath|status|response\w+)"
    allowed += r"|\$context\.(integrationLatency|error\.responseType|authorizer\.(integrationLatency|tenant_id))"
    odd = [value for value in line.values() if not re.fullmatch(allowed, value)]
    assert not odd, f"paths, queries, headers and keys do not belong in the log of the gateway: {odd}"


def test_the_role_of_the_account_is_set_by_nobody_who_did_not_ask() -> None:
    assert deployed()["Parameters"]["ApiAccessLogs"]["Default"] == "off"
    for name in ("ApiAccount", "ApiLogsRole"):
        resource = deployed()["Resources"][name]
        assert (resource["Condition"], resource["DeletionPolicy"]) == ("SetsAccountRole", "Retain"), name
