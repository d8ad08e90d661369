"""Executions: the runs as documents 0 and 2 show them. A view, with the ids of the runs; nothing is stored twice."""

from typing import Any, Literal

from shared.domain import agents, runs
from shared.domain.fields import InputMessage, Model, Record
from shared.domain.run_records import Run, Status, of_item
from shared.errors import Conflict
from shared.store.table import Item, TenantStore


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
    """What to execute an agent with."""

    payload: RuntimePayload


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
        input_data={"input": run.input_message},
        output_data=None if run.output_message is None else {"result": run.output_message},
        error_message=run.error_message,
        created_at=run.created_at,
        updated_at=run.updated_at,
    )


def runtime_execution_of(item: Item) -> RuntimeExecution:
    return runtime_of_run(of_item(item))


def execute(store: TenantStore, agent_ref: str, given: RuntimeExecute, starter: runs.Starter) -> Run:
    """Run an agent that is ready, at most 30 seconds.

    Raises:
        NotFound: no such agent.
        Conflict: it has no version that is ready, or is archived.
    """
    agent = agents.get(store, agent_ref)
    if agent.version_to_run is None:
        raise Conflict("The agent has no version that is ready: publish it first.", code="no_ready_version")
    draft = runs.RunCreate(
        agent_id=agent.id, input_message=given.payload.input, limits=runs.LimitsInput(max_seconds=30)
    )
    return runs.start(store, draft, starter)
