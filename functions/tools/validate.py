"""POST /tools/{tool_ref}/validate: look for what would make a call fail; nothing is called or resolved."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import tool_checks

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/tools/<tool_ref>/validate", summary="Check a tool without calling it", tags=["tools"])
def validate_tool(
    caller: Annotated[Caller, allowed("tools:write")], tool_ref: str, draft: tool_checks.ToolCheck | None = None
) -> tool_checks.Validation:
    return tool_checks.validate(caller.store, tool_ref, draft or tool_checks.ToolCheck())
