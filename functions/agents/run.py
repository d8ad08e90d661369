"""POST /agents/{agent_ref}/run: run the agent on a task and wait for it; 202 if it takes longer than we wait."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Prefer, Response, allowed, edge, started, wants_no_wait
from shared.domain import agent_tasks
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/agents/<agent_ref>/run",
    summary="Run an agent on a task",
    tags=["agents"],
    status_code=201,
    responses={201: {"description": "The run has ended."}, 202: {"description": "The run goes on, or waits."}},
)
def run_agent(
    caller: Annotated[Caller, allowed("runs:execute")],
    agent_ref: str,
    given: agent_tasks.AgentTask,
    prefer: Prefer = None,
) -> Response[Run]:
    run = agent_tasks.carry_out(caller.store, agent_ref, given, caller, background=wants_no_wait(prefer))
    return started(run, prefer)
