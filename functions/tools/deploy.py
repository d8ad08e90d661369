"""POST /tools/{tool_ref}/deploy: make a tool active; one that is active stays as it is."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/tools/<tool_ref>/deploy", summary="Make a tool active", tags=["tools"])
def deploy_tool(caller: Annotated[Caller, allowed("tools:write")], tool_ref: str) -> tools.Tool:
    return tools.deploy(caller.store, tool_ref)
