"""GET /tools/{tool_ref}: a tool by id or name."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools/<tool_ref>", summary="Get a tool by id or name", tags=["tools"])
def get_tool(caller: Annotated[Caller, allowed("tools:read")], tool_ref: str) -> tools.Tool:
    return tools.get(caller.store, tool_ref)
