"""The record of a run, as the table keeps it and as the API shows it."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from shared import clock
from shared.domain.fields import Record
from shared.store import keys
from shared.store.table import Item
from shared.store.writes import Lists

Status = Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled", "timed_out"]
_GRACE_SECONDS = 10
_HIDDEN = ("deadline_at", "agent_version_id", "background")
_HIDDEN_IF_SET = ("input_is_json", "output_is_json")


class ToolCalled(Record):
    """A tool call as the run shows it."""

    name: str
    tool_call_id: str
    args: dict[str, Any]
    status: str
    duration_ms: int | None


class Run(Record):
    """The record of a run. Counts are null until the run has ended, or if the provider gives none.

    A run of kind `tool` has no agent: it is one call of one tool. One of kind `code` has no model. A `test` is not
    counted in statistics.
    """

    id: str
    tenant_id: str
    agent_id: str | None = None
    agent_version: int | None = None
    model: str | None = None
    session_id: str
    trace_id: str
    kind: Literal["llm", "code", "tool"] = "llm"
    test: bool = False
    status: Status
    stop_reason: str | None = None
    input_message: str
    output_message: str | None = None
    error_message: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: str | None = None
    tools_called: list[ToolCalled] | None = None
    messages: list[dict[str, Any]] | None = None
    metadata: dict[str, Any]
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    updated_at: str
    deadline_at: Annotated[str, Field(exclude=True)] = ""
    agent_version_id: Annotated[str | None, Field(exclude=True)] = None
    background: Annotated[bool, Field(exclude=True)] = False
    input_is_json: Annotated[bool, Field(exclude=True)] = False
    output_is_json: Annotated[bool, Field(exclude=True)] = False
    user_id: str

    @property
    def ended(self) -> bool:
        return self.finished_at is not None

    @property
    def lists(self) -> Lists:
        """The lists of the table's indexes that the run stands in."""
        return {keys.GROUP: keys.group(keys.RUNS, self.kind, self.status)}


class RunEvent(Record):
    """One event of a run; `id` is its number, from 1 without gaps."""

    id: int
    event: str
    data: dict[str, Any]
    created_at: str


def stored(run: Run) -> str:
    """The run as the table keeps it, with what the API does not show."""
    return json.dumps(
        run.model_dump(exclude={"messages"}, exclude_defaults=True)
        | {name: getattr(run, name) for name in _HIDDEN}
        | {name: True for name in _HIDDEN_IF_SET if getattr(run, name)},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def read(doc: str) -> Run:
    """A run from the table. One that outlived its deadline is over: no worker can end it otherwise any more."""
    run = Run.model_validate_json(doc)
    if run.ended or not overdue(run):
        return run
    return run.model_copy(
        update={
            "status": "timed_out",
            "stop_reason": "max_seconds",
            "error_message": "The run did not end within its limit.",
            "finished_at": run.deadline_at,
        }
    )


def of_item(item: Item) -> Run:
    return read(item.doc)


def overdue(run: Run) -> bool:
    """Whether a run that has no end is past its deadline, and the time that its workers had to say so.

    One that waits in a queue has no deadline yet.
    """
    return run.status != "queued" and clock.in_seconds(-_GRACE_SECONDS) > run.deadline_at


def start_event(run: Run) -> tuple[str, dict[str, Any]]:
    """The first event of every run's log."""
    return "start", {
        "run_id": run.id,
        "trace_id": run.trace_id,
        "agent_id": run.agent_id,
        "agent_version": run.agent_version,
        "session_id": run.session_id,
    }
