"""GET /tenants/{tenant_id}/usage: calls, runs, tokens and cost of a tenant, day by day."""

from typing import Annotated

from shared.api import APIGatewayRestResolver, Caller, Query, allowed, edge
from shared.domain import tenant_directory

app = APIGatewayRestResolver(enable_validation=True)
handler = edge(app)


@app.get("/tenants/<tenant_id>/usage", summary="Read what a tenant used", tags=["tenants"])
def get_tenant_usage(
    caller: Annotated[Caller, allowed("tenants:read")],
    tenant_id: str,
    days: Annotated[int, Query(ge=1, le=90, description="So many days back, today among them.")] = 30,
) -> tenant_directory.TenantUsage:
    return tenant_directory.usage_of(caller.all_tenants, tenant_id, days)
