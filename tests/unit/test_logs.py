"""The log lines: JSON, with the ids of what they are about, and without what it says."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import ValidationError

from shared.clients import machines
from shared.domain import internal_tools, tenants, watching
from shared.domain.run_records import Run
from shared.store.ids import new_id
from shared.store.table import TenantStore
from shared.telemetry import clear_log_context, log_context, logger
from tests.unit.support import runs, stream
from tests.unit.support.gateway import ROOT, Api
from tests.unit.support.keys import authorize
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, call

Lines = Callable[[], list[dict[str, Any]]]
TASK = {"agent_id": "support", "input_message": "Hi"}


def told(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines that are no metrics."""
    return [line for line in lines if "_aws" not in line]


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("the prompt of a tenant")


def test_a_worker_that_fails_says_whose_run_it_was(
    api: Api, machine: Machine, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, said: Lines
) -> None:
    runs.agent(api, runs.internal(api, "echo"))
    model.asks(call("echo", {"text": "x"}))
    monkeypatch.setattr(internal_tools, "run", broken)
    run = runs.start(api)
    (line,) = told(said())
    assert (line["message"], line["error"], line["level"]) == ("worker failed", "RuntimeError", "WARNING")
    assert (line["tenant_id"], line["run_id"], line["trace_id"]) == ("tenant_a", run["id"], run["trace_id"])
    assert line["operation"] == "call_tool"
    assert line["tool_call_id"]
    assert "function" in line


def test_a_request_says_who_asked_for_what(api: Api, monkeypatch: pytest.MonkeyPatch, said: Lines) -> None:
    monkeypatch.setattr(TenantStore, "get", broken)
    run_id = new_id()
    api.get(f"/runs/{run_id}", headers={"X-Trace-Id": "trace-1"})
    (line,) = told(said())
    assert (line["tenant_id"], line["run_id"], line["trace_id"]) == ("tenant_a", run_id, "trace-1")
    assert (line["operation"], line["level"]) == ("GET /runs/{run_id}", "ERROR")
    assert "function" in line


def test_a_request_that_begins_a_run_names_it_from_then_on(
    api: Api, machine: Machine, monkeypatch: pytest.MonkeyPatch, said: Lines
) -> None:
    runs.agent(api)
    monkeypatch.setattr(machines, "run_and_wait", broken)
    api.post("/runs", TASK)
    (line,) = told(said())
    assert line["run_id"]
    assert line["operation"] == "POST /runs"


def test_what_a_caller_wrote_in_place_of_an_id_stands_in_no_line(
    api: Api, monkeypatch: pytest.MonkeyPatch, said: Lines
) -> None:
    monkeypatch.setattr(TenantStore, "get", broken)
    api.get("/runs/my-password")
    assert "my-password" not in json.dumps(said())


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_stream_that_breaks_off_says_which(
    api: Api, machine: Machine, monkeypatch: pytest.MonkeyPatch, said: Lines
) -> None:
    runs.agent(api)
    machine.waits = False
    monkeypatch.setattr(watching, "look", broken)
    answer = stream.request(api, "POST", "/runs/stream", TASK)
    assert answer.status == 200
    line, metric = said()
    assert line["message"] == "stream broken off"
    for one in (line, metric):
        assert (one["tenant_id"], one["trace_id"]) == ("tenant_a", answer.headers["x-trace-id"])
        assert (one["run_id"], one["operation"]) == (machine.pointers[0]["run_id"], "POST /runs/stream")
    assert metric["streams.broken"] == [1]


def test_a_refused_key_is_one_line_without_a_trace(api: Api, said: Lines) -> None:
    assert authorize("ap_dev_a-key-of-nobody") is None
    lines = said()
    (line,) = told(lines)
    assert (line["message"], line["level"], line["operation"]) == ("refused", "INFO", "authorize")
    assert not {"exception", "error"} & line.keys()
    assert "a-key-of-nobody" not in json.dumps(lines)


def test_an_authorizer_that_fails_says_so(api: Api, monkeypatch: pytest.MonkeyPatch, said: Lines) -> None:
    key = api.make("/api-keys", name="k", scopes=["agents:read"])["key"]
    monkeypatch.setattr(tenants, "standing", broken)
    said()
    with pytest.raises(RuntimeError):
        authorize(key)
    (line,) = told(said())
    assert (line["message"], line["level"]) == ("worker failed", "WARNING")


def test_lines_show_where_an_exception_came_from_and_not_what_it_says(said: Lines) -> None:
    try:
        try:
            raise KeyError("a secret")
        except KeyError as error:
            raise ValueError("a prompt") from error
    except ValueError:
        logger.exception("went wrong")
    (line,) = said()
    assert "a secret" not in line["exception"].replace('raise KeyError("a secret")', "")
    assert "a prompt" not in line["exception"].replace('raise ValueError("a prompt")', "")
    assert (
        line["exception"].index("KeyError") < line["exception"].index("\nThen:\n") < line["exception"].index("ValueE")
    )
    assert line["exception_name"] == "ValueError"
    assert "stack_trace" not in line


def test_an_error_of_aws_is_named_by_its_code(said: Lines) -> None:
    told_by_aws: Any = {"Error": {"Code": "AccessDenied", "Message": "arn:aws:dynamodb:eu-central-1:1:table/t"}}
    try:
        raise ClientError(told_by_aws, "GetItem")
    except ClientError:
        logger.exception("went wrong")
    (line,) = said()
    assert line["exception"].endswith("ClientError (AccessDenied, GetItem)")
    assert "arn:" not in line["exception"]


def test_lines_have_a_time_that_lambda_reads(said: Lines) -> None:
    """RFC 3339; else Lambda takes a line for one of level INFO."""
    logger.warning("x")
    (line,) = said()
    assert line["timestamp"].endswith("+00:00")
    assert "T" in line["timestamp"]


def test_an_invocation_leaves_nothing_to_the_next(said: Lines) -> None:
    log_context(tenant_id="tenant_a", run_id="r")
    clear_log_context()
    logger.warning("x")
    (line,) = said()
    assert not {"tenant_id", "run_id"} & line.keys()


def test_a_broken_document_is_not_quoted() -> None:
    """Lambda's runtime writes down the text of what a worker raises."""
    with pytest.raises(ValidationError) as refused:
        Run.model_validate_json('{"input_message": ["the prompt of a tenant"]}')
    assert "input_message" in str(refused.value)
    assert "prompt" not in str(refused.value)


_UNDER_THE_RUNTIME = """
import logging, sys
from awslambdaric import bootstrap
with bootstrap.create_log_sink() as sink:
    bootstrap._setup_logging("JSON", "INFO", sink)
    sys.stdout = bootstrap.Unbuffered(sys.stdout)
    from shared import metrics, telemetry
    telemetry.logger.info("a line")
    telemetry.measure({metrics.TABLE_BUSY: 1})
    logging.getLogger("httpx").info("HTTP Request: GET https://host.example/?key=secret")
"""


def test_the_runtime_of_lambda_adds_no_line_and_takes_none() -> None:
    """It puts a handler of its own on the root logger, which would write each line twice."""
    environment = {
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "INFO",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "POWERTOOLS_SERVICE_NAME": "stack",
        "PYTHONPATH": str(ROOT / "layers" / "shared"),
    }
    ended = subprocess.run(
        [sys.executable, "-c", _UNDER_THE_RUNTIME], env=environment, capture_output=True, text=True, check=True
    )
    line, metric = map(json.loads, (ended.stdout + ended.stderr).splitlines())
    assert (line["message"], line["service"]) == ("a line", "stack")
    assert (metric["table.busy"], metric["service"]) == ([1.0], "stack")


@pytest.mark.parametrize("library", ["httpx", "httpcore", "openai", "botocore.endpoint", "urllib3"])
def test_libraries_do_not_say_what_they_send(library: str) -> None:
    """They say it at INFO and DEBUG, and Lambda's runtime writes down whatever the root logger lets through."""
    assert not logging.getLogger(library).isEnabledFor(logging.INFO)
