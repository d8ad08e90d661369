"""POST /auth/register: a new user, in a tenant of their own or in one that invited them."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Response, Visitor, created, edge, public
from shared.domain import registrations
from shared.domain.users import Profile

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/auth/register", summary="Register a user", tags=["auth"], status_code=201)
def register_user(visitor: Annotated[Visitor, public()], draft: registrations.Registration) -> Response[Profile]:
    user = registrations.register(visitor.store, draft, visitor.subject)
    return created(user, f"/users/{user.id}")
