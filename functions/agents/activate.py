"""POST /agents/{agent_ref}/versions/{version}/activate: runs use that version from now on."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import agent_versions
from shared.domain.agents import Agent

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/agents/<agent_ref>/versions/<version>/activate", summary="Go back to a version of an agent", tags=["agents"]
)
def activate_agent_version(caller: Annotated[Caller, allowed("agents:write")], agent_ref: str, version: str) -> Agent:
    return agent_versions.activate(caller.store, agent_ref, version)
