"""POST /auth/login: name and password for an access token and a refresh token."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, edge, public, shown_once
from shared.domain import sign_ins

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/auth/login",
    summary="Log in",
    tags=["auth"],
    responses={200: {"description": "Logged in."}, 401: {"description": "Wrong."}},
)
def log_in(visitor: Annotated[Visitor, public()], draft: sign_ins.Login) -> Response[sign_ins.LoggedIn]:
    return shown_once(sign_ins.login(visitor.store, draft, visitor.subject))
