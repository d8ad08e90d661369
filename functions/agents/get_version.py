"""GET /agents/{agent_ref}/versions/{version}: what the agent was when it was published so, or the upload."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import agent_versions

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/versions/<version>", summary="Get a version of an agent", tags=["agents"])
def get_agent_version(
    caller: Annotated[Caller, allowed("agents:read")], agent_ref: str, version: str
) -> agent_versions.Version:
    return agent_versions.get(caller.store, agent_ref, version)
