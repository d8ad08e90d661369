"""GET /runs: the tenant's runs, newest first."""

from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request, Response

from shared.api import Caller, Paging, allowed, edge, listed
from shared.domain import runs
from shared.domain.run_records import Run, of_item

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runs", summary="List runs", tags=["runs"])
def list_runs(caller: Annotated[Caller, allowed("runs:read")], request: Request, paging: Paging) -> Response[list[Run]]:
    return listed(request, paging, partial(runs.page, caller.store), of_item)
