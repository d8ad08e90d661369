"""GET /executions/{execution_id}: a run as the history shows it."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import executions, runs
from shared.domain.executions import Execution

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/executions/<execution_id>", summary="Get an execution", tags=["executions"])
def get_execution(caller: Annotated[Caller, allowed("runs:read")], execution_id: str) -> Execution:
    return executions.of_run(runs.get(caller.store, execution_id))
