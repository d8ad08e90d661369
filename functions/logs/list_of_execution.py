"""GET /logs/executions/{execution_id}/logs: what one run wrote, oldest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import agent_logs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/logs/executions/<execution_id>/logs", summary="List an execution's log", tags=["logs"])
def list_execution_logs(
    caller: Annotated[Caller, allowed("runs:read")],
    request: Request,
    execution_id: str,
    paging: Paging,
    after: Annotated[str | None, Query(max_length=64, description="Only lines behind the one of this id.")] = None,
) -> Response[list[agent_logs.LogEntry]]:
    return listed(request, paging, partial(agent_logs.page_of_run, caller.store, execution_id, after), agent_logs.read)
