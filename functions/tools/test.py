"""POST /tools/{tool_ref}/test: as execute, but not counted, and for deprecated tools, too."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, check, edge, started
from shared.domain import tool_runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/tools/<tool_ref>/test",
    summary="Try out a tool; needs tools:write, too",
    tags=["tools"],
    status_code=201,
    responses={201: {"description": "The run has ended."}, 202: {"description": "The run goes on."}},
)
def test_tool(
    caller: Annotated[Caller, allowed("runs:execute")], tool_ref: str, draft: tool_runs.ToolExecute
) -> Response[Run]:
    check(caller.scopes, "tools:write")
    return started(tool_runs.start(caller.store, tool_ref, draft, caller, test=True))
