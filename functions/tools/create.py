"""POST /tools: create a tool in the caller's tenant."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/tools", summary="Create a tool", tags=["tools"], status_code=201)
def create_tool(caller: Annotated[Caller, allowed("tools:write")], draft: tools.ToolCreate) -> Response[tools.Tool]:
    tool = tools.create(caller.store, draft)
    return created(tool, f"/tools/{tool.id}")
