"""POST /runtime/executions/{execution_id}/cancel: end a run, under its name in the runtime."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import executions, runs
from shared.domain.executions import RuntimeExecution

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/runtime/executions/<execution_id>/cancel", summary="Cancel an execution of the runtime", tags=["runtime"])
def cancel_runtime_execution(caller: Annotated[Caller, allowed("runs:write")], execution_id: str) -> RuntimeExecution:
    return executions.runtime_of_run(runs.cancel(caller.store, execution_id))
