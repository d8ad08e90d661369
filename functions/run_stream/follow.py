"""GET /runs/{run_id}/stream: join a run, or go on where a stream broke off."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Header, Query, Response, allowed, edge
from shared.api.stream import DOCUMENTED, streamed, watched
from shared.domain import runs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)
application = streamed(handler)

_LAST = "Number of the last event already seen; this header goes before `after`."


@app.get("/runs/<run_id>/stream", summary="Stream the events of a run", tags=["runs"], responses=DOCUMENTED)
def follow_run(
    caller: Annotated[Caller, allowed("runs:read")],
    run_id: str,
    after: Annotated[int, Query(ge=0, le=1_000_000, description="Number of the last event already seen.")] = 0,
    last_event_id: Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=1_000_000, description=_LAST)] = None,
) -> Response[str]:
    run = runs.get(caller.store, run_id)
    return watched(run.id, after if last_event_id is None else last_event_id, over=run.ended)
