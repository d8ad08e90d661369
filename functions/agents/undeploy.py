"""POST /agents/{agent_ref}/undeploy: runs use the agent's current version again."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import agent_versions
from shared.domain.agents import Agent

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents/<agent_ref>/undeploy", summary="Undeploy an agent", tags=["agents"])
def undeploy_agent(caller: Annotated[Caller, allowed("agents:write")], agent_ref: str) -> Agent:
    return agent_versions.undeploy(caller.store, agent_ref)
