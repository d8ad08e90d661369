"""POST /runs/stream: run an agent and watch it; its events come as they happen."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge
from shared.api.stream import DOCUMENTED, streamed, watched
from shared.domain import runs

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)
application = streamed(handler)


@app.post("/runs/stream", summary="Run an agent and stream its events", tags=["runs"], responses=DOCUMENTED)
def stream_run(caller: Annotated[Caller, allowed("runs:execute")], draft: runs.RunCreate) -> Response[str]:
    return watched(runs.start_streamed(caller.store, draft, caller).id)
