"""POST /tenants: make a tenant; its first administrator's key is shown once."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Response, allowed, created, edge
from shared.domain import tenant_directory

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.post("/tenants", summary="Create a tenant", tags=["tenants"], status_code=201)
def create_tenant(
    caller: Annotated[Caller, allowed("tenants:write")], draft: tenant_directory.TenantCreate
) -> Response[tenant_directory.TenantCreated]:
    tenant = tenant_directory.create(caller.all_tenants, draft)
    return created(tenant, f"/tenants/{tenant.id}", secret=True)
