"""POST /runs: run an agent and wait for it; 202 if it takes longer than we wait."""

from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from shared.api import Caller, accepted, allowed, created, edge
from shared.domain import runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/runs",
    summary="Run an agent",
    tags=["runs"],
    status_code=201,
    responses={201: {"description": "The run has ended."}, 202: {"description": "The run goes on."}},
)
def start_run(caller: Annotated[Caller, allowed("runs:execute")], draft: runs.RunCreate) -> Response[Run]:
    run, ended = runs.start(caller.store, draft, caller)
    location = f"/runs/{run.id}"
    return created(run, location) if ended else accepted(run, location)
