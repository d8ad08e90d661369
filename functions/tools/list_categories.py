"""GET /tools/categories: the categories of the tenant's tools, by name."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import categories

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tools/categories", summary="List categories of tools, and how many tools they have", tags=["tools"])
def list_tool_categories(caller: Annotated[Caller, allowed("tools:read")]) -> list[categories.Category]:
    return categories.every(caller.store)
