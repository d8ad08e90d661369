"""GET /runtime/executions/{execution_id}: a run as the runtime shows it."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import executions, runs
from shared.domain.executions import RuntimeExecution

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runtime/executions/<execution_id>", summary="Get an execution of the runtime", tags=["runtime"])
def get_runtime_execution(caller: Annotated[Caller, allowed("runs:read")], execution_id: str) -> RuntimeExecution:
    return executions.runtime_of_run(runs.get(caller.store, execution_id))
