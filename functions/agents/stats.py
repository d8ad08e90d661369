"""GET /agents/{agent_ref}/stats: how an agent's runs ended, how long they took, and what they cost."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Query, allowed, edge
from shared.domain import statistics

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/stats", summary="Figures of an agent's runs", tags=["agents"])
def get_agent_stats(
    caller: Annotated[Caller, allowed("agents:read")],
    agent_ref: str,
    window: Annotated[statistics.Window, Query(description="What ended in this time until now.")] = "24h",
) -> statistics.AgentStats:
    return statistics.of_agent(caller.store, agent_ref, window)
