"""GET /agents/{agent_ref}/tools: all bindings of an agent, oldest first."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import bindings

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/tools", summary="List the tools bound to an agent", tags=["bindings"])
def list_bindings(caller: Annotated[Caller, allowed("agents:read")], agent_ref: str) -> list[bindings.Binding]:
    return bindings.listed(caller.store, agent_ref)
