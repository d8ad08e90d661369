"""GET /runs/{run_id}: a run, with its messages if asked for."""

from typing import Annotated, Literal

from shared.api import APIGatewayRestResolver, Caller, Query, allowed, edge
from shared.domain import runs
from shared.domain.run_records import Run

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/runs/<run_id>", summary="Get a run", tags=["runs"])
def get_run(
    caller: Annotated[Caller, allowed("runs:read")],
    run_id: str,
    include: Annotated[Literal["messages"] | None, Query(description="`messages` adds the conversation.")] = None,
) -> Run:
    return runs.get(caller.store, run_id, with_messages=include == "messages")
