"""GET /tools: the tenant's tools, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools", summary="List tools", tags=["tools"])
def list_tools(
    caller: Annotated[Caller, allowed("tools:read")],
    request: Request,
    paging: Paging,
    agent_name: Annotated[str | None, Query(description="Only those bound to this agent (name or id).")] = None,
    status: tools.ToolStatus | None = None,
    category: str | None = None,
    execution_type: tools.ExecutionType | None = None,
) -> Response[list[tools.Tool]]:
    wanted = tools.ToolFilter(agent_name=agent_name, status=status, category=category, execution_type=execution_type)
    return listed(request, paging, partial(tools.page, caller.store, wanted), tools.read)
