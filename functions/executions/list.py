"""GET /executions: the history of runs, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import executions
from shared.domain.executions import Execution
from shared.domain.run_lists import Wanted, page

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/executions", summary="List executions", tags=["executions"])
def list_executions(
    caller: Annotated[Caller, allowed("runs:read")],
    request: Request,
    paging: Paging,
    agent_id: Annotated[str | None, Query(max_length=200, description="Id or name of the agent.")] = None,
) -> Response[list[Execution]]:
    return listed(request, paging, partial(page, caller.store, Wanted(agent_id)), executions.execution_of)
