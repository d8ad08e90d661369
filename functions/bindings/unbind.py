"""DELETE /agents/{agent_ref}/tools/{tool_ref}: take a tool from an agent."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, empty
from shared.domain import bindings

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.delete("/agents/<agent_ref>/tools/<tool_ref>", summary="Unbind a tool", tags=["bindings"], status_code=204)
def unbind_tool(caller: Annotated[Caller, allowed("agents:write")], agent_ref: str, tool_ref: str) -> Response[None]:
    bindings.unbind(caller.store, agent_ref, tool_ref)
    return empty()
