"""POST /agents/{agent_ref}/deploy: runs use one version, whatever is published later."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import agent_versions
from shared.domain.agents import Agent

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents/<agent_ref>/deploy", summary="Deploy a version of an agent", tags=["agents"])
def deploy_agent(
    caller: Annotated[Caller, allowed("agents:write")],
    agent_ref: str,
    draft: agent_versions.AgentDeploy | None = None,
) -> Agent:
    return agent_versions.deploy(caller.store, agent_ref, draft.version if draft else None)
