"""POST /tools/{tool_ref}/execute: call a tool and wait for it; 202 if it takes longer."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Prefer, Response, allowed, check, edge, started, wants_no_wait
from shared.domain import tool_runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/tools/<tool_ref>/execute",
    summary="Call a tool; needs tools:write, too",
    tags=["tools"],
    status_code=201,
    responses={201: {"description": "The run has ended."}, 202: {"description": "The run goes on."}},
)
def execute_tool(
    caller: Annotated[Caller, allowed("runs:execute")],
    tool_ref: str,
    draft: tool_runs.ToolExecute,
    prefer: Prefer = None,
) -> Response[Run]:
    check(caller.scopes, "tools:write")
    background = wants_no_wait(prefer)
    return started(tool_runs.start(caller.store, tool_ref, draft, caller, background=background), prefer)
