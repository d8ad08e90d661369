"""POST /auth/token: a key for a short-lived token, in document 1's form or in OAuth 2.0's."""

from typing import Annotated

from shared.api import (
    APIGatewayRestResolver,
    BasicClient,
    Response,
    Visitor,
    XApiKey,
    basic_client,
    edge,
    public,
    shown_once,
)
from shared.domain import token_exchange
from shared.domain.tokens import AccessToken

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post(
    "/auth/token",
    summary="Exchange a key for a token",
    tags=["auth"],
    responses={
        200: {"description": "The token."},
        401: {"description": "No valid key."},
        403: {"description": "The key lacks a scope."},
    },
)
def exchange_key(
    visitor: Annotated[Visitor, public(form=True)],
    request: token_exchange.TokenRequest | None = None,
    x_api_key: XApiKey = None,
    authorization: BasicClient = None,
) -> Response[AccessToken]:
    wanted = request or token_exchange.TokenRequest()
    return shown_once(token_exchange.exchange(wanted, x_api_key, basic_client(authorization), visitor.subject))
