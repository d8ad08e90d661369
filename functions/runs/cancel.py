"""POST /runs/{run_id}/cancel: end a run; no model or tool call starts after it."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/runs/<run_id>/cancel", summary="Cancel a run", tags=["runs"])
def cancel_run(caller: Annotated[Caller, allowed("runs:write")], run_id: str) -> Run:
    return runs.cancel(caller.store, run_id)
