"""DELETE /api-keys/{api_key_id}: end a key; repeatable."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, edge, empty
from shared.domain import api_keys

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.delete("/api-keys/<api_key_id>", summary="Revoke an API key", tags=["api-keys"], status_code=204)
def revoke_api_key(caller: Annotated[Caller, allowed("api-keys:write")], api_key_id: str) -> Response[None]:
    api_keys.revoke(caller.store, api_key_id)
    return empty()
