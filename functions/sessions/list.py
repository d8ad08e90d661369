"""GET /sessions: the tenant's sessions, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import sessions
from shared.domain.sessions import Session

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/sessions", summary="List sessions", tags=["sessions"])
def list_sessions(
    caller: Annotated[Caller, allowed("runs:read")], request: Request, paging: Paging
) -> Response[list[Session]]:
    return listed(request, paging, partial(sessions.page, caller.store), partial(sessions.of_item, caller.store))
