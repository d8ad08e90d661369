"""POST /api-keys: make a key; it is shown once."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import api_keys

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/api-keys", summary="Create an API key", tags=["api-keys"], status_code=201)
def create_api_key(
    caller: Annotated[Caller, allowed("api-keys:write")], draft: api_keys.ApiKeyCreate | None = None
) -> Response[api_keys.ApiKeyCreated]:
    draft = draft or api_keys.ApiKeyCreate()
    key = api_keys.create(
        caller.store, draft, user_id=caller.user_id, granted=caller.scopes, draws_on=caller.key_budgets
    )
    return created(key, f"/api-keys/{key.id}", secret=True)
