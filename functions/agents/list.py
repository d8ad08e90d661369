"""GET /agents: the tenant's agents, newest first."""

from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request, Response

from shared.api import Caller, Paging, allowed, edge, listed
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents", summary="List agents", tags=["agents"])
def list_agents(
    caller: Annotated[Caller, allowed("agents:read")], request: Request, paging: Paging
) -> Response[list[agents.Agent]]:
    return listed(request, paging, partial(agents.page, caller.store), agents.read)
