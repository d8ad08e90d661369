"""GET /agents/{agent_ref}/logs: the same as GET /logs/{agent_id}, beside the agent's other data."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import agent_logs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/logs", summary="List the log of an agent", tags=["logs"])
def list_agent_logs(
    caller: Annotated[Caller, allowed("agents:read")],
    request: Request,
    agent_ref: str,
    paging: Paging,
    after: Annotated[str | None, Query(max_length=64, description="Only lines behind the one of this id.")] = None,
) -> Response[list[agent_logs.LogEntry]]:
    return listed(request, paging, partial(agent_logs.page, caller.store, agent_ref, after), agent_logs.read)
