"""PATCH /tools/{tool_ref}: set the fields given."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.patch("/tools/<tool_ref>", summary="Update a tool", tags=["tools"])
def update_tool(
    caller: Annotated[Caller, allowed("tools:write")],
    tool_ref: str,
    patch: tools.ToolPatch,
    if_match: IfMatch = None,
) -> tools.Tool:
    return tools.update(caller.store, tool_ref, patch, expected_version(if_match))
