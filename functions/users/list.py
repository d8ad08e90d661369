"""GET /users: the tenant's users, newest first."""

from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Request, Response

from shared.api import Caller, Paging, allowed, edge, listed
from shared.domain import users

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/users", summary="List users", tags=["users"])
def list_users(
    caller: Annotated[Caller, allowed("users:read")], request: Request, paging: Paging
) -> Response[list[users.User]]:
    return listed(request, paging, partial(users.page, caller.store), users.read)
