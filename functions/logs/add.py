"""POST /agents/{agent_ref}/logs: a line of a client's own in the agent's log."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import agent_logs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents/<agent_ref>/logs", summary="Add a line to the log of an agent", tags=["logs"], status_code=201)
def add_agent_log(
    caller: Annotated[Caller, allowed("agents:write")], agent_ref: str, draft: agent_logs.LogCreate
) -> Response[agent_logs.LogEntry]:
    return created(agent_logs.add(caller.store, agent_ref, draft), f"/agents/{agent_ref}/logs")
