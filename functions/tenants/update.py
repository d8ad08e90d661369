"""PATCH /tenants/{tenant_id}: suspend a tenant, or change its plan and limits."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, IfMatch, allowed, edge, expected_version
from shared.domain import tenant_directory, tenants

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.patch("/tenants/<tenant_id>", summary="Change a tenant", tags=["tenants"])
def update_tenant(
    caller: Annotated[Caller, allowed("tenants:write")],
    tenant_id: str,
    patch: tenant_directory.TenantPatch,
    if_match: IfMatch = None,
) -> tenants.Tenant:
    return tenant_directory.update(caller.all_tenants, tenant_id, patch, expected_version(if_match))
