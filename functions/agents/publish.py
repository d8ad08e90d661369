"""POST /agents/{agent_ref}/publish: keep the agent as it is as its next version, for runs to use."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import agent_versions
from shared.domain.agents import Agent

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents/<agent_ref>/publish", summary="Publish an agent", tags=["agents"])
def publish_agent(
    caller: Annotated[Caller, allowed("agents:write")], agent_ref: str, if_match: IfMatch = None
) -> Agent:
    return agent_versions.publish(caller.store, agent_ref, expected_version(if_match))
