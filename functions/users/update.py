"""PATCH /users/{user_id}: a user's role, name, and whether they may come in."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import users

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.patch("/users/<user_id>", summary="Update a user", tags=["users"])
def update_user(
    caller: Annotated[Caller, allowed("users:write")],
    user_id: str,
    patch: users.UserPatch,
    if_match: IfMatch = None,
) -> users.User:
    return users.update(caller.store, user_id, patch, granted=caller.scopes, expected=expected_version(if_match))
