"""POST /agents: create an agent in the caller's tenant."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents", summary="Create an agent", tags=["agents"], status_code=201)
def create_agent(
    caller: Annotated[Caller, allowed("agents:write")], draft: agents.AgentCreate
) -> Response[agents.Agent]:
    agent = agents.create(caller.store, draft, owner=caller.user_id)
    return created(agent, f"/agents/{agent.id}")
