"""GET /auth/me: who calls, and what the caller may do."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, authenticated, edge
from shared.domain import users

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/auth/me", summary="Who calls", tags=["auth"])
def get_me(caller: Annotated[Caller, authenticated()]) -> users.Me:
    return users.me(caller.store, caller.user_id, caller.role, caller.scopes)
