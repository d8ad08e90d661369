"""GET /logs/{agent_id}: what an agent's builds, runs and clients wrote, oldest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import agent_logs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/logs/<agent_id>", summary="List an agent's log", tags=["logs"])
def list_logs(
    caller: Annotated[Caller, allowed("agents:read")],
    request: Request,
    agent_id: str,
    paging: Paging,
    after: Annotated[str | None, Query(max_length=64, description="Only lines behind the one of this id.")] = None,
) -> Response[list[agent_logs.LogEntry]]:
    return listed(request, paging, partial(agent_logs.page, caller.store, agent_id, after), agent_logs.read)
