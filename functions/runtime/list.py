"""GET /runtime/executions: what was executed, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import executions
from shared.domain.executions import RuntimeExecution
from shared.domain.run_lists import Wanted, page

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runtime/executions", summary="List executions of the runtime", tags=["runtime"])
def list_runtime_executions(
    caller: Annotated[Caller, allowed("runs:read")],
    request: Request,
    paging: Paging,
    agent_version_id: Annotated[str | None, Query(max_length=64, description="Only those of this version.")] = None,
) -> Response[list[RuntimeExecution]]:
    wanted = Wanted(agent_version_id=agent_version_id)
    return listed(request, paging, partial(page, caller.store, wanted), executions.runtime_execution_of)
