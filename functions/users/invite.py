"""POST /users/invite: a token, shown once, with which somebody joins the tenant."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import invites

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/users/invite", summary="Invite a user", tags=["users"], status_code=201)
def invite_user(
    caller: Annotated[Caller, allowed("users:write")], draft: invites.InviteCreate | None = None
) -> Response[invites.Invite]:
    draft = draft or invites.InviteCreate()
    invite = invites.create(caller.store, draft, user_id=caller.user_id, granted=caller.scopes)
    return created(invite, "/auth/register", secret=True)
