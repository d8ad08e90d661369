"""PUT /tools/{tool_ref}: set everything that a client may set."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.put("/tools/<tool_ref>", summary="Replace a tool", tags=["tools"])
def replace_tool(
    caller: Annotated[Caller, allowed("tools:write")],
    tool_ref: str,
    draft: tools.ToolReplace,
    if_match: IfMatch = None,
) -> tools.Tool:
    return tools.replace(caller.store, tool_ref, draft, expected_version(if_match))
