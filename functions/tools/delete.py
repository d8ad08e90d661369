"""DELETE /tools/{tool_ref}: soft delete; refused while agents use it, unless forced."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, empty
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.delete("/tools/<tool_ref>", summary="Delete a tool", tags=["tools"], status_code=204)
def delete_tool(
    caller: Annotated[Caller, allowed("tools:write")], tool_ref: str, force: bool = False
) -> Response[None]:
    tools.delete(caller.store, tool_ref, force=force)
    return empty()
