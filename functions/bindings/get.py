"""GET /agents/{agent_ref}/tools/{tool_ref}: one binding."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import bindings

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/agents/<agent_ref>/tools/<tool_ref>", summary="Get a binding", tags=["bindings"])
def get_binding(caller: Annotated[Caller, allowed("agents:read")], agent_ref: str, tool_ref: str) -> bindings.Binding:
    return bindings.get(caller.store, agent_ref, tool_ref)
