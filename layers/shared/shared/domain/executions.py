"""Executions: the runs as documents 0 and 2 show them. A view, with the ids of the runs; nothing is stored twice."""

import json
from typing import Annotated, Any, Literal

from pydantic import ValidationError

from shared.domain import agents, runs
from shared.domain.fields import InputMessage, Model, Record, json_size
from shared.domain.run_records import Run, Status, of_item
from shared.errors import Conflict, Unprocessable
from shared.store.table import Item, TenantStore

_MAX_PAYLOAD_BYTES = 100_100
# As a text within JSON it may become twice as long, and a run keeps 100,000 bytes of input.
_MAX_CODE_PAYLOAD_BYTES = 50_000


class Execution(Record):
    """A run as the history shows it (document 0)."""

    id: str
    tenant_id: str
    agent_id: str | None
    prompt: str
    model: str | None
    response: str | None
    timestamp: str
    status: Status
    error_message: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cost_usd: str | None


def of_run(run: Run) -> Execution:
    return Execution(
        prompt=run.input_message,
        response=run.output_message,
        timestamp=run.created_at,
        **run.model_dump(include=Execution.model_fields.keys() - {"prompt", "response", "timestamp"}),
    )


def execution_of(item: Item) -> Execution:
    return of_run(of_item(item))


RuntimeStatus = Literal["pending", "running", "completed", "failed", "cancelled"]

_SHOWN: dict[Status, RuntimeStatus] = {
    "queued": "pending",
    "running": "running",
    "waiting": "running",
    "succeeded": "completed",
    "failed": "failed",
    "timed_out": "failed",
    "cancelled": "cancelled",
}


class RuntimePayload(Model):
    """What an agent of kind `llm` takes."""

    input: InputMessage


class RuntimeExecute(Model):
    """What to execute an agent with: whatever its code takes. An agent of kind `llm` takes `input`, a text."""

    payload: Annotated[dict[str, Any], json_size(_MAX_PAYLOAD_BYTES)]


class RuntimeExecution(Record):
    """A run as the runtime shows it (document 2)."""

    id: str
    agent_id: str | None
    agent_version_id: str | None
    user_id: str
    status: RuntimeStatus
    input_data: dict[str, Any]
    output_data: dict[str, Any] | None
    error_message: str | None
    created_at: str
    updated_at: str


def runtime_of_run(run: Run) -> RuntimeExecution:
    return RuntimeExecution(
        id=run.id,
        agent_id=run.agent_id,
        agent_version_id=run.agent_version_id,
        user_id=run.user_id,
        status=_SHOWN[run.status],
        input_data=json.loads(run.input_message) if run.input_is_json else {"input": run.input_message},
        output_data=_output(run),
        error_message=run.error_message,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )


def _output(run: Run) -> dict[str, Any] | None:
    """What an agent's code returned, if it is an object; anything else as the `result` of one."""
    if run.output_message is None:
        return None
    value = json.loads(run.output_message) if run.output_is_json else run.output_message
    return value if isinstance(value, dict) else {"result": value}


def runtime_execution_of(item: Item) -> RuntimeExecution:
    return runtime_of_run(of_item(item))


def execute(store: TenantStore, agent_ref: str, given: RuntimeExecute, starter: runs.Starter) -> Run:
    """Run an agent that is ready, at most 30 seconds.

    Raises:
        NotFound: no such agent.
        Conflict: it has no version that is ready, or is archived.
        Unprocessable: it does not take such a payload.
    """
    agent = agents.get(store, agent_ref)
    if agent.kind == "llm" and agent.version_to_run is None:
        raise Conflict("The agent has no version that is ready: publish it first.", code="no_ready_version")
    is_json = agent.kind == "code"
    draft = runs.RunCreate(
        agent_id=agent.id,
        input_message=_json(given.payload) if is_json else _message(given.payload),
        limits=runs.LimitsInput(max_seconds=30),
    )
    return runs.start(store, draft, starter, input_is_json=is_json)


def _json(payload: dict[str, Any]) -> str:
    text = json.dumps(payload, ensure_ascii=False)
    if len(text.encode()) > _MAX_CODE_PAYLOAD_BYTES:
        problem = f"must be at most {_MAX_CODE_PAYLOAD_BYTES} bytes of JSON"
        raise Unprocessable(
            "The payload is too large.", errors=[{"loc": ["body", "payload"], "msg": problem, "type": "value_error"}]
        )
    return text


def _message(payload: dict[str, Any]) -> str:
    try:
        return RuntimePayload.model_validate(payload).input
    except ValidationError as refused:
        errors = [
            {"loc": ["body", "payload", *problem["loc"]], "msg": problem["msg"], "type": problem["type"]}
            for problem in refused.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise Unprocessable("An agent of kind llm takes an input, and nothing else.", errors=errors) from None
