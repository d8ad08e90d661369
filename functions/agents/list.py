"""GET /agents: the tenant's agents, newest first; those whose names begin with `q` by name."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import agent_kinds, agent_lists, agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents", summary="List agents", tags=["agents"])
def list_agents(
    caller: Annotated[Caller, allowed("agents:read")],
    request: Request,
    paging: Paging,
    tool_name: Annotated[agent_lists.NamePart | None, Query(description="Agents that have this tool.")] = None,
    status: Annotated[agent_kinds.ShownStatus | None, Query(description="Agents in this status.")] = None,
    kind: Annotated[agent_kinds.Kind | None, Query(description="Agents of this kind.")] = None,
    q: Annotated[agent_lists.NamePart | None, Query(description="What the names begin with.")] = None,
) -> Response[list[agents.Agent]]:
    wanted = agent_lists.AgentFilter(tool_name, status, kind, q)
    return listed(request, paging, partial(agent_lists.page, caller.store, wanted), agents.read)
