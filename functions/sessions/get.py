"""GET /sessions/{session_id}: a session; a run that named none has one of its own under its id."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import sessions
from shared.domain.sessions import Session

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/sessions/<session_id>", summary="Get a session", tags=["sessions"])
def get_session(caller: Annotated[Caller, allowed("runs:read")], session_id: str) -> Session:
    return sessions.get(caller.store, session_id)
