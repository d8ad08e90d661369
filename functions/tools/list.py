"""GET /tools: the tenant's tools, newest first."""

from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request, Response

from shared.api import Caller, Paging, allowed, edge, listed
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools", summary="List tools", tags=["tools"])
def list_tools(
    caller: Annotated[Caller, allowed("tools:read")], request: Request, paging: Paging
) -> Response[list[tools.Tool]]:
    return listed(request, paging, partial(tools.page, caller.store), tools.read)
