"""GET /agents/{agent_ref}: an agent by id or name."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>", summary="Get an agent by id or name", tags=["agents"])
def get_agent(caller: Annotated[Caller, allowed("agents:read")], agent_ref: str) -> agents.Agent:
    return agents.get(caller.store, agent_ref)
