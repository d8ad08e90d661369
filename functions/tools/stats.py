"""GET /tools/{tool_ref}/stats: how a tool's calls ended, how long they took."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Query, allowed, edge
from shared.domain import statistics

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools/<tool_ref>/stats", summary="Figures of a tool's calls", tags=["tools"])
def get_tool_stats(
    caller: Annotated[Caller, allowed("tools:read")],
    tool_ref: str,
    window: Annotated[statistics.Window, Query(description="What ended in this time until now.")] = "24h",
) -> statistics.ToolStats:
    return statistics.of_tool(caller.store, tool_ref, window)
