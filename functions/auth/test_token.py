"""GET /auth/test-token: a developer's token for a test tenant, where the deployment allows it."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, edge, public, shown_once
from shared.domain import token_exchange
from shared.domain.tokens import AccessToken

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get(
    "/auth/test-token",
    summary="Get a test token",
    tags=["auth"],
    responses={200: {"description": "The token."}, 404: {"description": "Not allowed here."}},
)
def get_test_token(visitor: Annotated[Visitor, public()]) -> Response[AccessToken]:
    return shown_once(token_exchange.test_token())
