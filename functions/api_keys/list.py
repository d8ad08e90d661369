"""GET /api-keys: the tenant's keys, newest first; never the keys themselves."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import api_keys

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/api-keys", summary="List API keys", tags=["api-keys"])
def list_api_keys(
    caller: Annotated[Caller, allowed("api-keys:read")],
    request: Request,
    paging: Paging,
    include_revoked: bool = False,
) -> Response[list[api_keys.ApiKey]]:
    return listed(request, paging, partial(api_keys.page, caller.store, include_revoked), api_keys.read)
