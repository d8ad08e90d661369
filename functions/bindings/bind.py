"""POST /agents/{agent_ref}/tools/{tool_ref}: give a tool to an agent, or replace how it was given."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, check, created, edge, replaced
from shared.domain import bindings

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/agents/<agent_ref>/tools/<tool_ref>",
    summary="Bind a tool to an agent",
    tags=["bindings"],
    status_code=201,
    responses={200: {"description": "The binding was replaced."}, 201: {"description": "The tool is bound."}},
)
def bind_tool(
    caller: Annotated[Caller, allowed("agents:write")],
    agent_ref: str,
    tool_ref: str,
    draft: bindings.BindingCreate | None = None,
) -> Response[bindings.Binding]:
    draft = draft or bindings.BindingCreate()
    if draft.permission_scope == "write":
        check(caller.scopes, "tools:write")
    binding, new = bindings.bind(caller.store, agent_ref, tool_ref, draft)
    location = f"/agents/{binding.agent_id}/tools/{binding.tool_id}"
    return created(binding, location) if new else replaced(binding)
