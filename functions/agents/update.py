"""PATCH /agents/{agent_ref}: set the fields given."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.patch("/agents/<agent_ref>", summary="Update an agent", tags=["agents"])
def update_agent(
    caller: Annotated[Caller, allowed("agents:write")],
    agent_ref: str,
    patch: agents.AgentPatch,
    if_match: IfMatch = None,
) -> agents.Agent:
    return agents.update(caller.store, agent_ref, patch, expected_version(if_match))
