"""Every tenant's own key at the gateway, in the plan of its tier or in one of its own; made when a tenant is.

The table's stream says that a tenant changed, and a queue keeps it until the gateway's control plane, which takes few
calls, has time. What holds is what the tenant's record says by then. So an old message does no harm, and a repeated
one finds everything done.
"""

import json
from collections.abc import Mapping
from typing import Any

from shared.clients import gateway, queues
from shared.clients.gateway import OutOfPlans, Wall
from shared.domain import limits, tenants
from shared.domain.tenants import Tenant
from shared.store import keys
from shared.store.counters import SECONDS
from shared.store.stream import Written
from shared.store.table import Change, TenantStore
from shared.telemetry import log_context, logger

# The wall stands this far outside the exact limits: it is there for floods, and must not spoil the counts.
_WIDER = 10
_LEAST_RATE, _LEAST_BURST = 1.0, 20


def ask(written: Written) -> None:
    """Ask for what a change of a tenant's record may want at the gateway; 1 message, none for any other change.

    Messages about one tenant are worked on one after another: two at once could make two keys.
    """
    if written.key != keys.TENANT or written.new is None:
        return
    if written.old is None or written.old.doc != written.new.doc:
        message = {"tenant_id": written.tenant_id}
        once = f"{written.tenant_id}-{written.place}"
        queues.send("PROVISION_QUEUE", message, group=written.tenant_id, once=once)


def answer(message: Mapping[str, Any]) -> None:
    """Do what a message of the queue asks for. One that fails comes again, and goes to the dead letters in the end."""
    tenant_id = json.loads(message["body"])["tenant_id"]
    log_context(tenant_id=tenant_id)
    provision(tenant_id)


def provision(tenant_id: str) -> None:
    """Bring a tenant's key and plan at the gateway up to date with its record; 1 read if nothing is to do."""
    store = TenantStore(tenant_id)
    item = store.get(keys.TENANT)
    if item is None or tenant_id == keys.OPERATOR:
        return
    tenant = tenants.read(item)
    wanted = {"plan": tenant.plan, "requests": tenant.limits.requests, "burst": tenant.burst}
    done = json.loads(item.parts.get(tenants.GATEWAY_PART, "{}"))
    if done.get("wanted") == wanted:
        return
    key, plan = gateway.key_for(tenant_id), _plan(tenant)
    gateway.move(key, plan)
    has_own = plan != gateway.tier(tenant.plan)
    if done.get("own") and not has_own:
        gateway.drop_plan(tenant_id)
    # If the record changed meanwhile, its own message follows and finds what is wanted now.
    part = json.dumps({"key": key.value, "wanted": wanted, "own": has_own})
    store.write(Change(keys.TENANT, set_parts={tenants.GATEWAY_PART: part}))


def _plan(tenant: Tenant) -> str:
    """The id of the plan for a tenant: its tier's, or its own if that is narrower or has a burst of its own."""
    tier = gateway.tier(tenant.plan)
    if tenant.burst is None and not tenant.limits.requests:
        return tier
    outer = gateway.wall_of(tier)
    wall = wall_for(tenant, outer)
    if wall == outer:
        return tier
    try:
        return gateway.plan_for(tenant.id, wall)
    except OutOfPlans:
        # The exact limits hold all the same; only the outer wall is the tier's.
        logger.warning("no room for a plan of its own", extra={"tenant_id": tenant.id})
        return tier


def wall_for(tenant: Tenant, outer: Wall) -> Wall:
    """How wide the gateway lets a tenant's requests through: ten times its narrowest limit, and no wider than its tier.

    The operator's word on the burst comes first.
    """
    rate, burst = outer.rate, outer.burst
    for limit in map(limits.read, tenant.limits.requests or []):
        rate = min(rate, max(_LEAST_RATE, _WIDER * limit.amount / SECONDS[limit.unit]))
        burst = min(burst, max(_LEAST_BURST, _WIDER * limit.amount))
    return Wall(rate, tenant.burst or burst)
