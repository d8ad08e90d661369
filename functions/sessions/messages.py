"""GET /sessions/{session_id}/messages: what was said in a session, oldest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import sessions
from shared.domain.sessions import SessionMessage

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/sessions/<session_id>/messages", summary="List the messages of a session", tags=["sessions"])
def list_session_messages(
    caller: Annotated[Caller, allowed("runs:read")], request: Request, session_id: str, paging: Paging
) -> Response[list[SessionMessage]]:
    return listed(request, paging, partial(sessions.messages, caller.store, session_id), sessions.message)
