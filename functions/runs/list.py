"""GET /runs: the tenant's runs, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Query, Request, Response, allowed, edge, listed
from shared.domain.fields import Moment
from shared.domain.run_lists import Kind, Wanted, page
from shared.domain.run_records import Run, Status, of_item

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runs", summary="List runs", tags=["runs"])
def list_runs(
    caller: Annotated[Caller, allowed("runs:read")],
    request: Request,
    paging: Paging,
    agent_id: Annotated[str | None, Query(max_length=200, description="Id or name of the agent.")] = None,
    session_id: Annotated[str | None, Query(max_length=64, description="Id of the session.")] = None,
    status: Annotated[Status | None, Query(description="Only runs that are in this state.")] = None,
    kind: Annotated[Kind | None, Query(description="Only runs of this kind.")] = None,
    since: Annotated[Moment | None, Query(description="Created at this time (ISO 8601) or later.")] = None,
    until: Annotated[Moment | None, Query(description="Created at this time (ISO 8601) or earlier.")] = None,
) -> Response[list[Run]]:
    statuses = frozenset({status}) if status else None
    wanted = Wanted(agent_id, None, session_id, statuses, kind, since, until)
    return listed(request, paging, partial(page, caller.store, wanted), of_item)
