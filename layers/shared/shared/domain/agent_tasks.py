"""What an agent is asked to do at its own address. Each is a run like any other."""

from typing import Self

from pydantic import model_validator

from shared.domain import agents, runs
from shared.domain.fields import InputMessage, Model, SessionId
from shared.domain.run_records import Run
from shared.domain.runs import RunCreate, RunOptions
from shared.store.table import TenantStore


class AgentTask(RunOptions):
    """A task for the agent, as `task`, `prompt` or `input_message`; one of them is needed."""

    task: InputMessage | None = None
    prompt: InputMessage | None = None
    input_message: InputMessage | None = None

    @model_validator(mode="after")
    def _one_task(self) -> Self:
        if sum(given is not None for given in (self.task, self.prompt, self.input_message)) != 1:
            raise ValueError("one of task, prompt and input_message is needed")
        return self


class AgentMessage(Model):
    """A message to the agent. The answer names its session; send it along with the next message."""

    message: InputMessage
    session_id: SessionId | None = None


def carry_out(
    store: TenantStore, agent_ref: str, given: AgentTask, starter: runs.Starter, *, background: bool = False
) -> Run:
    """Run the agent on a task; as `runs.start`."""
    message = given.task or given.prompt or given.input_message
    options = {name: getattr(given, name) for name in RunOptions.model_fields}
    draft = RunCreate(agent_id=agents.resolve_id(store, agent_ref), input_message=message or "", **options)
    return runs.start(store, draft, starter, background=background)


def interact(
    store: TenantStore, agent_ref: str, given: AgentMessage, starter: runs.Starter, *, background: bool = False
) -> Run:
    """Run the agent on the next message of a session, or the first of a new one; as `runs.start`."""
    task = AgentTask(input_message=given.message, session_id=given.session_id)
    return carry_out(store, agent_ref, task, starter, background=background)
