"""POST /runs/{run_id}/cancel: end a run; no model or tool call starts after it."""

from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from shared.api import Caller, allowed, edge
from shared.domain import runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/runs/<run_id>/cancel", summary="Cancel a run", tags=["runs"])
def cancel_run(caller: Annotated[Caller, allowed("runs:write")], run_id: str) -> Run:
    return runs.cancel(caller.store, run_id)
