"""POST /auth/refresh: the next tokens of a login; a refresh token is good for one use."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, edge, public, shown_once
from shared.domain import sign_ins

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/auth/refresh",
    summary="Renew the tokens of a login",
    tags=["auth"],
    responses={200: {"description": "The next tokens."}, 401: {"description": "Not valid."}},
)
def refresh_tokens(visitor: Annotated[Visitor, public()], given: sign_ins.RefreshToken) -> Response[sign_ins.LoggedIn]:
    return shown_once(sign_ins.refresh(visitor.store, given, visitor.subject))
