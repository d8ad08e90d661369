"""The metrics: a line for each thing that happened, in CloudWatch's embedded format, with nobody's name to count by."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import jsonschema
import pytest
from botocore.exceptions import ClientError

from shared import metrics
from shared.clients import aws, dead_letters
from shared.domain import audit
from shared.errors import TableBusy
from shared.store import keys
from shared.store.table import TenantStore
from shared.telemetry import log_context, measure
from tests.unit.support import runs
from tests.unit.support.faults import Faults, Moment, die
from tests.unit.support.gateway import Api
from tests.unit.support.keys import authorize
from tests.unit.support.machine import Machine
from tests.unit.support.model import ScriptedModel, as_json, call, completion
from tests.unit.support.people import login, register
from tests.unit.support.server import ToolServer

Lines = Callable[[], list[dict[str, Any]]]
TASK = {"agent_id": "support", "input_message": "Hi"}

# Amazon CloudWatch User Guide, "Specification: Embedded metric format", section "Schema".
_DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": "^(.*)$"},
        "Dimensions": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 30,
                "items": {"type": "string", "minLength": 1, "maxLength": 250},
            },
        },
        "Metrics": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["Name"],
                "properties": {
                    "Name": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "Unit": {"enum": ["Seconds", "Count"]},
                },
            },
        },
    },
}
_SCHEMA = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": _DIRECTIVE},
            },
        }
    },
}


def emitted(lines: list[dict[str, Any]], *wanted: metrics.Metric) -> list[dict[str, Any]]:
    """The lines of these metrics (of all without any), each valid and as the table declares it."""
    found = [line for line in lines if "_aws" in line]
    by_name = {metric.name: metric for metric in metrics.METRICS}
    for line in found:
        jsonschema.validate(line, _SCHEMA)
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "AgentPlatform"
        first, *second = directive["Dimensions"]
        for said in directive["Metrics"]:
            metric = by_name[said["Name"]]
            assert said["Unit"] == metric.unit
            assert first == ["service", *metric.dimensions]
            assert second in ([], [[*first, "error.type"]])
            assert {name: line[name] for name in metric.dimensions}.items() <= {
                (name, line[name]) for name, values in metric.dimensions.items() if line[name] in values
            }
            assert line.get("error.type", metrics.OTHER) in (*metric.errors, metrics.OTHER)
            assert all(value >= 0 for value in line[metric.name])
    names = {metric.name for metric in wanted}
    return [line for line in found if not wanted or names & line.keys()]


def test_a_run_is_counted_with_its_model_its_tools_and_its_end(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, said: Lines
) -> None:
    runs.agent(api, runs.webhook(api))
    model.asks(call("lookup")).says("done")
    said()
    run = runs.start(api)
    lines = said()
    (end,) = emitted(lines, metrics.RUNS_FINISHED)
    assert (end["run.status"], end["runs.finished"]) == ("succeeded", [1])
    assert "error.type" not in end
    assert end["gen_ai.invoke_agent.duration"][0] >= 0
    (tool,) = emitted(lines, metrics.TOOL_DURATION)
    assert (tool["tool.kind"], tool["tool"]) == ("http_webhook", "lookup")
    assert len(emitted(lines, metrics.MODEL_DURATION)) == 2
    tokens = [
        (line["gen_ai.token.type"], *line["gen_ai.client.token.usage"]) for line in emitted(lines, metrics.TOKENS)
    ]
    assert tokens == [("input", 10), ("output", 5)] * 2
    for line in emitted(lines):
        assert (line["tenant_id"], line["run_id"], line["trace_id"]) == ("tenant_a", run["id"], run["trace_id"])
        assert line["service"] == "agent-platform"


def test_no_tenants_word_is_a_dimension(api: Api, machine: Machine, model: ScriptedModel, said: Lines) -> None:
    runs.agent(api, runs.internal(api, "echo"), model="openai:a-model-of-the-tenants-choice")
    model.asks(call("a_tool_that_is_not_there")).says("done")
    runs.start(api)
    for line in emitted(said()):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        counted_by = {line[name] for names in directive["Dimensions"] for name in names}
        assert not [word for word in counted_by if "choice" in word or "not_there" in word or "tenant" in word]


def test_a_failed_run_says_why(api: Api, machine: Machine, model: ScriptedModel, said: Lines) -> None:
    runs.agent(api)
    for _ in range(4):
        model.fails(429)
    runs.start(api)
    lines = said()
    (end,) = emitted(lines, metrics.RUNS_FINISHED)
    assert (end["run.status"], end["error.type"]) == ("failed", "model_unavailable")
    assert end["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [
        ["service", "run.status"],
        ["service", "run.status", "error.type"],
    ]
    assert [line["error.type"] for line in emitted(lines, metrics.MODEL_DURATION)] == ["ModelUnavailable"] * 4
    assert emitted(lines, metrics.TOKENS) == []


@pytest.mark.parametrize(("status", "kind"), [(404, "http_4xx"), (503, "http_5xx")])
def test_a_failed_tool_call_says_how(
    api: Api, machine: Machine, model: ScriptedModel, server: ToolServer, said: Lines, status: int, kind: str
) -> None:
    runs.agent(api, runs.webhook(api))
    server.then(httpx.Response(status, text="no"))
    model.asks(call("lookup")).says("done")
    runs.start(api)
    (tool,) = emitted(said(), metrics.TOOL_DURATION)
    assert tool["error.type"] == kind


def test_a_call_of_a_tool_that_is_not_there_is_of_no_kind(
    api: Api, machine: Machine, model: ScriptedModel, said: Lines
) -> None:
    runs.agent(api)
    model.asks(call("nope")).says("done")
    runs.start(api)
    (tool,) = emitted(said(), metrics.TOOL_DURATION)
    assert (tool["tool.kind"], tool["error.type"]) == ("none", "unknown_tool")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 5))
def test_whoever_dies_nothing_is_counted_twice(
    api: Api,
    machine: Machine,
    model: ScriptedModel,
    server: ToolServer,
    faults: Faults,
    said: Lines,
    number: int,
    moment: Moment,
) -> None:
    """Writes: 1 the call asked for, 2 and 3 the call started and ended, 4 the end of the run."""
    runs.agent(api, runs.webhook(api, idempotent=True))
    model.follows(lambda request: _second_answer(request))
    faults.at(number, moment, die)
    run = runs.start(api)
    assert (run["status"], faults.happened) == ("succeeded", 1)
    lines = said()
    # Who dies between the write and the line leaves none behind, and nobody else has it to tell.
    lost = (number, moment)
    assert len(emitted(lines, metrics.RUNS_FINISHED)) == (0 if lost == (4, "after") else 1)
    assert len(emitted(lines, metrics.TOOL_DURATION)) == (0 if lost == (3, "after") else 1)


def _second_answer(request: dict[str, Any]) -> httpx2.Response:
    asked = any(each["role"] == "tool" for each in request["messages"])
    return as_json(completion("done") if asked else completion(None, call("lookup", {}, id="c1")))


def test_a_cancelled_run_is_no_error(api: Api, machine: Machine, said: Lines) -> None:
    runs.agent(api)
    machine.waits = False
    run = api.post("/runs", TASK).json
    assert api.post(f"/runs/{run['id']}/cancel").status == 200
    (end,) = emitted(said(), metrics.RUNS_FINISHED)
    assert end["run.status"] == "cancelled"
    assert "error.type" not in end


def test_a_run_cancelled_in_its_queue_is_counted_and_took_no_time(api: Api, machine: Machine, said: Lines) -> None:
    runs.agent(api)
    machine.waits = False
    in_line = TASK | {"session_id": "s1", "on_conflict": "enqueue"}
    _, queued = api.post("/runs", in_line).json, api.post("/runs", in_line).json
    assert queued["status"] == "queued"
    assert api.post(f"/runs/{queued['id']}/cancel").status == 200
    (end,) = emitted(said(), metrics.RUNS_FINISHED)
    assert (end["run_id"], end["run.status"]) == (queued["id"], "cancelled")
    assert "gen_ai.invoke_agent.duration" not in end


def test_a_test_of_a_tool_is_no_run_of_the_platform(
    api: Api, machine: Machine, server: ToolServer, said: Lines
) -> None:
    tool_id = runs.webhook(api)
    said()
    api.make(f"/tools/{tool_id}/test")
    lines = said()
    assert emitted(lines, metrics.RUNS_FINISHED) == []
    assert len(emitted(lines, metrics.TOOL_DURATION)) == 1


def test_a_streamed_answer_tells_when_it_began(api: Api, machine: Machine, model: ScriptedModel, said: Lines) -> None:
    runs.agent(api)
    model.streams("It", " is")
    assert api.post("/runs/stream", TASK).status == 200
    lines = said()
    assert len(emitted(lines, metrics.FIRST_CHUNK)) == len(emitted(lines, metrics.MODEL_DURATION)) == 1
    assert len(emitted(lines, metrics.TOKENS)) == 2


def test_limits_say_which_of_them_refused(api: Api, machine: Machine, model: ScriptedModel, said: Lines) -> None:
    tool_id = runs.internal(api, "echo")
    runs.agent(api)
    assert api.post(f"/agents/support/tools/{tool_id}", {"rate_limit": "1/day"}).status == 201
    model.asks(call("echo", {"text": "a"}, id="1"), call("echo", {"text": "b"}, id="2")).says("done")
    few = api.as_(limits=json.dumps({"requests": ["2/day"], "runs": ["1/day"]}))
    assert [few.post("/runs", TASK).status for _ in range(3)] == [201, 429, 429]
    refused = [line["limit"] for line in emitted(said(), metrics.LIMITS_REFUSED)]
    assert refused == ["tool_calls", "runs", "requests"]


def test_logins_have_a_limit_of_their_own(api: Api, said: Lines) -> None:
    register(api)
    assert [login(api, password="wrong").status for _ in range(6)][-1] == 429
    assert [line["limit"] for line in emitted(said(), metrics.LIMITS_REFUSED)] == ["logins"]


def test_a_busy_table_is_counted_each_time(store: TenantStore, monkeypatch: pytest.MonkeyPatch, said: Lines) -> None:
    def busy(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetItem")

    monkeypatch.setattr(aws.dynamodb(), "get_item", busy)
    with pytest.raises(TableBusy):
        store.get(keys.TENANT)
    (line,) = emitted(said(), metrics.TABLE_BUSY)
    assert line["reason"] == "ThrottlingException"


@pytest.mark.parametrize("queue", ["AUDIT_DEAD_LETTERS", "CALL_UP_DEAD_LETTERS"])
def test_a_parked_record_is_counted(
    monkeypatch: pytest.MonkeyPatch, setting: Callable[[str, str | None], None], said: Lines, queue: str
) -> None:
    class Queue:
        def send_message(self, **_: Any) -> None: ...

    setting(queue, "https://queue.example")
    monkeypatch.setattr(aws, "sqs", Queue)
    dead_letters.park({"dynamodb": {}}, "poison", queue)
    (line,) = emitted(said(), metrics.RECORDS_PARKED)
    assert f"{line['queue'].upper()}_DEAD_LETTERS" == queue


def test_an_audit_record_that_the_table_does_not_take_is_counted(
    store: TenantStore, monkeypatch: pytest.MonkeyPatch, said: Lines
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(TenantStore, "write", broken)
    stamp = audit.new_stamp("a", "GET", "/", user_id="u", key_id="k", trace_id="t", source_ip="")
    audit.answered(store, stamp, 403, "forbidden")
    assert len(emitted(said(), metrics.AUDIT_LOST)) == 1


def test_the_authorizer_counts_whom_it_refuses(api: Api, said: Lines) -> None:
    assert authorize("ap_dev_nobody") is None
    assert len(emitted(said(), metrics.AUTHORIZER_REFUSED)) == 1


def test_a_value_of_no_set_counts_as_other_and_stands_nowhere(said: Lines) -> None:
    measure({metrics.RUNS_FINISHED: 1}, {"run.status": "a tenant's word"}, error="another")
    (line,) = emitted_lines = [line for line in said() if "_aws" in line]
    assert (line["run.status"], line["error.type"]) == ("_OTHER", "_OTHER")
    assert "word" not in json.dumps(emitted_lines)


@pytest.mark.parametrize("dimensions", [{}, {"run.status": "failed", "tenant_id": "t"}, {"status": "failed"}])
def test_no_dimension_but_those_declared(dimensions: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="dimensions"):
        measure({metrics.RUNS_FINISHED: 1}, dimensions)


def test_no_error_where_none_is_declared() -> None:
    with pytest.raises(ValueError, match="dimensions"):
        measure({metrics.TABLE_BUSY: 1}, error="x")


def test_what_the_context_says_stands_beside_and_is_not_counted_by(said: Lines) -> None:
    log_context(tenant_id="tenant_a")
    measure({metrics.TABLE_BUSY: 1}, run_id="run_1")
    (line,) = emitted(said())
    assert (line["tenant_id"], line["run_id"]) == ("tenant_a", "run_1")
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
