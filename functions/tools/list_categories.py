"""GET /tools/categories: the categories of the tenant's tools, by name."""

from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from shared.api import Caller, allowed, edge
from shared.domain import tools

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools/categories", summary="List categories of tools, with counts over the newest 1,000", tags=["tools"])
def list_tool_categories(caller: Annotated[Caller, allowed("tools:read")]) -> list[tools.Category]:
    return tools.categories(caller.store)
