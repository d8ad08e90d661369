"""GET /users: the tenant's users, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import users

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/users", summary="List users", tags=["users"])
def list_users(
    caller: Annotated[Caller, allowed("users:read")], request: Request, paging: Paging
) -> Response[list[users.User]]:
    return listed(request, paging, partial(users.page, caller.store), users.read)
