"""What the operator of the platform does with tenants: make, list, change, suspend."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from shared import clock
from shared.domain import api_keys, limits, tenants, usage
from shared.domain.api_keys import ApiKeyCreate
from shared.domain.fields import Model, Name, Record, left_out
from shared.domain.scopes import ADMIN
from shared.domain.tenants import Burst, Plan, Tenant, TenantId, TenantLimits
from shared.domain.usage import UsageDay
from shared.errors import ConditionFailed, Conflict, NotFound, VersionConflict
from shared.store import counters, keys
from shared.store.all_tenants import AllTenants
from shared.store.table import Change, Item, Page, Put

_UPDATE_ATTEMPTS = 5


class TenantCreate(Model):
    """A new tenant. Without an id it gets one."""

    id: TenantId | None = None
    name: Name
    plan: Plan = "standard"
    limits: TenantLimits = TenantLimits.model_construct()
    burst: Burst | None = None


class TenantPatch(Model):
    """The fields to change; the others stay. `limits` is replaced as a whole."""

    name: Name = left_out()
    status: Literal["active", "suspended"] = left_out()
    plan: Plan = left_out()
    limits: TenantLimits = left_out()
    burst: Burst | None = None


class TenantDay(UsageDay):
    """What a tenant used on one day (UTC). `calls` is null for a day on which its requests had no limit."""

    calls: int | None


class TenantUsage(Record):
    """What a tenant used on the newest days, and each day, newest first."""

    tenant_id: str
    calls: int | None
    runs: int
    total_tokens: int
    cost_usd: str
    days: list[TenantDay]


class TenantCreated(Tenant):
    """A tenant with the key of its first administrator, which is shown once."""

    admin_key: str | None


def create(everyone: AllTenants, draft: TenantCreate, scopes: frozenset[str] = frozenset({ADMIN})) -> TenantCreated:
    """Make a tenant and its first administrator's key; 2 transactions.

    Args:
        scopes: what the key may do; more than its tenant's administration for the operator's own tenant only.

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
        ApiKeyCreate(name="First administrator", scopes=sorted(scopes)),
        user_id=f"{tenant_id}-admin",
        granted=scopes,
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


def usage_of(everyone: AllTenants, tenant_id: str, days: int) -> TenantUsage:
    """What a tenant used on the newest days, today among them; 3 requests.

    Requests are counted where they have a limit: what an unlimited tenant calls is not known.

    Raises:
        NotFound: no such tenant.
    """
    tenant = get(everyone, tenant_id)
    store = everyone.store_of(tenant_id)
    today = date.fromisoformat(clock.now()[:10])
    dates = [(today - timedelta(n)).isoformat() for n in range(days)]
    used = {day.date: day for day in usage.days(store, days)}
    calls = counters.totals(store, limits.REQUESTS, dates[-1])
    uncounted = None if tenants.is_unlimited(tenant) else 0
    found = [
        TenantDay(calls=calls.get(day, uncounted), **used.get(day, UsageDay(date=day)).model_dump()) for day in dates
    ]
    counted = [day.calls for day in found if day.calls is not None]
    return TenantUsage(
        tenant_id=tenant_id,
        calls=sum(counted) if counted else None,
        runs=sum(day.runs for day in found),
        total_tokens=sum(day.total_tokens for day in found),
        cost_usd=f"{sum((Decimal(day.cost_usd) for day in found), Decimal(0)):f}",
        days=found,
    )


def _find(everyone: AllTenants, tenant_id: str) -> Item:
    item = everyone.store_of(tenant_id).get(keys.TENANT) if tenants.is_id(tenant_id) else None
    if item is None:
        raise NotFound("No such tenant.")
    return item
