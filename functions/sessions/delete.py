"""DELETE /sessions/{session_id}: forget a conversation; the runs stay."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, empty
from shared.domain import sessions

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.delete("/sessions/<session_id>", summary="Delete a session", tags=["sessions"], status_code=204)
def delete_session(caller: Annotated[Caller, allowed("runs:write")], session_id: str) -> Response[None]:
    sessions.delete(caller.store, session_id)
    return empty()
