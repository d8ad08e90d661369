"""POST /agents/{agent_ref}/clone: a draft like the agent, with its bindings."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import agent_copies
from shared.domain.agent_copies import AgentClone
from shared.domain.agents import Agent
from shared.domain.scopes import holds

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/agents/<agent_ref>/clone", summary="Clone an agent", tags=["agents"], status_code=201)
def clone_agent(
    caller: Annotated[Caller, allowed("agents:write")], agent_ref: str, draft: AgentClone | None = None
) -> Response[Agent]:
    name = draft.name if draft else None
    may_write = holds(caller.scopes, "tools:write")
    agent = agent_copies.clone(caller.store, agent_ref, name, caller.user_id, may_write=may_write)
    return created(agent, f"/agents/{agent.id}")
