"""POST /runs: run an agent and wait for it; 202 if it takes longer than we wait, or than the client wants to."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Prefer, Response, allowed, edge, started, wants_no_wait
from shared.domain import runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/runs",
    summary="Run an agent",
    tags=["runs"],
    status_code=201,
    responses={201: {"description": "The run has ended."}, 202: {"description": "The run goes on, or waits."}},
)
def start_run(
    caller: Annotated[Caller, allowed("runs:execute")], draft: runs.RunCreate, prefer: Prefer = None
) -> Response[Run]:
    return started(runs.start(caller.store, draft, caller, background=wants_no_wait(prefer)), prefer)
