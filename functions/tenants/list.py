"""GET /tenants: all tenants of the platform, newest first."""

from functools import partial
from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Paging, Request, Response, allowed, edge, listed
from shared.domain import tenant_directory, tenants

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tenants", summary="List tenants", tags=["tenants"])
def list_tenants(
    caller: Annotated[Caller, allowed("tenants:read")], request: Request, paging: Paging
) -> Response[list[tenants.Tenant]]:
    return listed(request, paging, partial(tenant_directory.page, caller.all_tenants), tenants.read)
