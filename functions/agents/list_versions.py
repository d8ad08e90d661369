"""GET /agents/{agent_ref}/versions: what the agent was each time it was published, or its uploads, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import agent_versions

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/versions", summary="List the versions of an agent", tags=["agents"])
def list_agent_versions(
    caller: Annotated[Caller, allowed("agents:read")], request: Request, agent_ref: str, paging: Paging
) -> Response[list[agent_versions.Version]]:
    return listed(request, paging, partial(agent_versions.page, caller.store, agent_ref), agent_versions.read)
