"""What the operator of the platform does with tenants: make, list, change, suspend."""

import json
from typing import Literal

from shared import clock
from shared.domain import api_keys, tenants
from shared.domain.api_keys import ApiKeyCreate
from shared.domain.fields import Model, Name, left_out
from shared.domain.tenants import Burst, Plan, Tenant, TenantId, TenantLimits
from shared.errors import ConditionFailed, Conflict, NotFound, VersionConflict
from shared.store import keys
from shared.store.all_tenants import AllTenants
from shared.store.table import Change, Item, Page, Put

_UPDATE_ATTEMPTS = 5


class TenantCreate(Model):
    """A new tenant. Without an id it gets one."""

    id: TenantId | None = None
    name: Name
    plan: Plan = "standard"
    limits: TenantLimits = TenantLimits()
    burst: Burst | None = None


class TenantPatch(Model):
    """The fields to change; the others stay. `limits` is replaced as a whole."""

    name: Name = left_out()
    status: Literal["active", "suspended"] = left_out()
    plan: Plan = left_out()
    limits: TenantLimits = left_out()
    burst: Burst | None = None


class TenantCreated(Tenant):
    """A tenant with the key of its first administrator, which is shown once."""

    admin_key: str | None


def create(everyone: AllTenants, draft: TenantCreate) -> TenantCreated:
    """Make a tenant and its first administrator's key; 2 transactions.

    Raises:
        Conflict: the id is taken.
    """
    made_by = everyone.directory.new_id()
    tenant_id = draft.id or made_by
    writes = tenants.new(
        tenant_id, draft.name, plan=draft.plan, limits=draft.limits, burst=draft.burst, made_by=made_by
    )
    try:
        everyone.store_of(tenant_id).write(*writes)
    except ConditionFailed as error:
        item = everyone.store_of(tenant_id).get(keys.TENANT)
        if item is None or item.parts.get("made_by") != json.dumps(made_by):
            raise Conflict(f"There is a tenant {tenant_id} already.", code="tenant_exists") from error
    # The same reserved id: a second try after a crash meets the first one's key, too.
    key = api_keys.create(
        everyone.store_of(tenant_id, made_by),
        ApiKeyCreate(name="First administrator", scopes=["admin"]),
        user_id=f"{tenant_id}-admin",
        granted=frozenset({"admin"}),
    )
    return TenantCreated(admin_key=key.key, **get(everyone, tenant_id).model_dump())


def get(everyone: AllTenants, tenant_id: str) -> Tenant:
    """A tenant; 1 request.

    Raises:
        NotFound: no such tenant; one that only a boot key names has no record.
    """
    return tenants.read(_find(everyone, tenant_id))


def page(everyone: AllTenants, limit: int, after: str | None) -> Page:
    """A page of tenants, newest first; 1 request."""
    return everyone.directory.query(keys.TENANTS, limit=limit, after=after, newest_first=True)


def update(everyone: AllTenants, tenant_id: str, patch: TenantPatch, expected: int | None) -> Tenant:
    """Change a tenant; 1 read and 1 transaction. It holds within `AUTHORIZER_CACHE_SECONDS`.

    Raises:
        NotFound: no such tenant.
        VersionConflict: the tenant is not in the expected version.
    """
    for _ in range(_UPDATE_ATTEMPTS):
        old = tenants.read(_find(everyone, tenant_id))
        if expected is not None and old.version != expected:
            raise VersionConflict(f"The tenant is in version {old.version}, not {expected}.")
        given = {name: getattr(patch, name) for name in patch.model_fields_set}
        changed = old.model_copy(update=given | {"version": old.version + 1, "updated_at": clock.now()})
        doc = changed.model_dump_json()
        try:
            everyone.store_of(tenant_id).write(
                Change(keys.TENANT, doc=doc, when=old.version),
                Put(keys.tenant_entry(old.created_at, old.id), doc, when=None),
            )
        except ConditionFailed:
            continue
        return changed
    raise VersionConflict("The tenant is being changed by others; read it and try again.")


def _find(everyone: AllTenants, tenant_id: str) -> Item:
    item = everyone.store_of(tenant_id).get(keys.TENANT) if tenants.is_id(tenant_id) else None
    if item is None:
        raise NotFound("No such tenant.")
    return item
