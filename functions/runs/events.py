"""GET /runs/{run_id}/events: what happened in a run, oldest first."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Query, Request, Response, allowed, edge, next_page
from shared.domain import runs
from shared.domain.run_records import RunEvent

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runs/<run_id>/events", summary="List the events of a run", tags=["runs"])
def list_events(
    caller: Annotated[Caller, allowed("runs:read")],
    request: Request,
    run_id: str,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="Number of the last event already seen.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="Events on a page.")] = 50,
) -> Response[list[RunEvent]]:
    events = runs.events(caller.store, run_id, after, limit)
    headers = next_page(request, {"after": str(events[-1].id), "limit": str(limit)}) if len(events) == limit else {}
    return Response(status_code=200, content_type="application/json", body=events, headers=headers)
