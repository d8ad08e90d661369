"""Every tenant's data, for the operator of the platform: the one door between tenants."""

from shared.store import keys
from shared.store.table import TenantStore


class AllTenants:
    """The stores of all tenants, and the list of them.

    Made by `shared.api.caller`, for a caller who holds a scope of the operator, and by the operator's own commands.

    Args:
        first_id: see `TenantStore`.
    """

    def __init__(self, first_id: str | None = None) -> None:
        self.directory = TenantStore(keys.OPERATOR, first_id)

    def store_of(self, tenant_id: str, first_id: str | None = None) -> TenantStore:
        """One tenant's store."""
        return TenantStore(tenant_id, first_id)
