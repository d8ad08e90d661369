"""POST /runtime/{agent_id}/execute: run an agent that is ready, at most 30 seconds."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import executions
from shared.domain.executions import RuntimeExecute, RuntimeExecution

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/runtime/<agent_id>/execute", summary="Execute an agent", tags=["runtime"], status_code=201)
def execute_agent(
    caller: Annotated[Caller, allowed("runs:execute")], agent_id: str, given: RuntimeExecute
) -> Response[RuntimeExecution]:
    run = executions.execute(caller.store, agent_id, given, caller)
    return created(executions.runtime_of_run(run), f"/runtime/executions/{run.id}")
