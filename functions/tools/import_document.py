"""POST /tools/import: make tools of the operations of an OpenAPI document, all or none."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import tool_imports

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/tools/import", summary="Import tools from an OpenAPI document", tags=["tools"], status_code=201)
def import_tools(
    caller: Annotated[Caller, allowed("tools:write")], draft: tool_imports.ToolImport
) -> Response[tool_imports.ImportedTools]:
    return created(tool_imports.carry_out(caller.store, draft), "/tools")
