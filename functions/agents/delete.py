"""DELETE /agents/{agent_ref}: soft delete; the name is free again."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, empty
from shared.domain import agents

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.delete("/agents/<agent_ref>", summary="Delete an agent", tags=["agents"], status_code=204)
def delete_agent(caller: Annotated[Caller, allowed("agents:write")], agent_ref: str) -> Response[None]:
    agents.delete(caller.store, agent_ref)
    return empty()
