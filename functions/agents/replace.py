"""PUT /agents/{agent_ref}: set everything that a client may set."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.put("/agents/<agent_ref>", summary="Replace an agent", tags=["agents"])
def replace_agent(
    caller: Annotated[Caller, allowed("agents:write")],
    agent_ref: str,
    draft: agents.AgentReplace,
    if_match: IfMatch = None,
) -> agents.Agent:
    return agents.replace(caller.store, agent_ref, draft, expected_version(if_match))
