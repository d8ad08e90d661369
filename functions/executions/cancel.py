"""POST /executions/{execution_id}/cancel: end a run, under its name in the history."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import executions, runs
from shared.domain.executions import Execution

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/executions/<execution_id>/cancel", summary="Cancel an execution", tags=["executions"])
def cancel_execution(caller: Annotated[Caller, allowed("runs:write")], execution_id: str) -> Execution:
    return executions.of_run(runs.cancel(caller.store, execution_id))
