"""POST /auth/logout: end the login of the access token, and the token with it."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, authenticated, edge, empty
from shared.domain import sign_ins

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/auth/logout", summary="Log out", tags=["auth"], status_code=204)
def log_out(caller: Annotated[Caller, authenticated()], given: sign_ins.RefreshToken | None = None) -> Response[None]:
    sign_ins.logout(caller.store, caller.user_id, caller.token, given)
    return empty()
