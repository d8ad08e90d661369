"""GET /tenants/{tenant_id}: a tenant, its plan and its limits."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, allowed, edge
from shared.domain import tenant_directory, tenants

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tenants/<tenant_id>", summary="Read a tenant", tags=["tenants"])
def get_tenant(caller: Annotated[Caller, allowed("tenants:read")], tenant_id: str) -> tenants.Tenant:
    return tenant_directory.get(caller.all_tenants, tenant_id)
