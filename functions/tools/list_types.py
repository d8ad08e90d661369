"""GET /tools/types: the types of tools that there are, and the platform's own tools."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import tool_types

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools/types", summary="List the types of tools", tags=["tools"])
def list_tool_types(caller: Annotated[Caller, allowed("tools:read")]) -> list[tool_types.ToolType]:
    return tool_types.TYPES
