"""Tenants: the customers of the platform, whether they may call, and how much."""

import json
import re
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from shared import clock
from shared.config import settings
from shared.domain.fields import Model, Name, Record, Whole
from shared.domain.limits import MoneyBudget, RateLimit, TokenBudget
from shared.memory import Memory
from shared.store import keys
from shared.store.table import Item, Put, TenantStore, Write

Plan = Literal["free", "standard", "unlimited"]
"""The tier: how wide the gateway's outer wall is, and whether what no limit names has a default."""

GATEWAY_PART = "gateway"
"""The part of a tenant's record that says by which key, and in which plan, the gateway counts it."""

# Names that begin with an underscore are the platform's own partitions, such as `_public`.
_ID = re.compile(r"^[A-Za-z0-9-][A-Za-z0-9_-]{0,63}$")
_remembered: "Memory[Standing]" = Memory()


def _one_of_each(limits: list[str]) -> list[str]:
    units = [limit.partition("/")[2] for limit in limits]
    if len(units) != len(set(units)):
        raise ValueError("must hold one limit for each kind of window")
    return limits


RateLimits = Annotated[list[RateLimit], Field(max_length=4), AfterValidator(_one_of_each)]
TenantId = Annotated[str, Field(pattern=_ID.pattern)]
Burst = Annotated[Whole, Field(ge=1, le=10_000)]


class TenantLimits(Model):
    """What a tenant may use. Null is the plan's own: the deployment's default for requests and runs (none in the
    plan `unlimited`), no cap for tokens and cost. An empty list is no limit."""

    requests: RateLimits | None = None
    runs: RateLimits | None = None
    tokens: TokenBudget | None = None
    cost_usd: MoneyBudget | None = None


class Tenant(Record):
    """A tenant, as the operator of the platform sees it."""

    id: str
    name: str
    status: Literal["active", "suspended"]
    plan: Plan
    limits: TenantLimits
    burst: int | None
    created_at: str
    updated_at: str
    version: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a tenant may call, how much, and by which key the gateway counts it.

    Attributes:
        limits: with the defaults filled in: null stands for no cap.
        gateway_key: the tenant's own; that of the whole deployment until the gateway has one for this tenant.
    """

    active: bool
    limits: TenantLimits
    gateway_key: str = ""


def is_id(text: str) -> bool:
    """Whether a text can be a tenant's id."""
    return _ID.fullmatch(text) is not None


def new(
    tenant_id: str,
    name: Name,
    *,
    plan: Plan = "free",
    limits: TenantLimits | None = None,
    burst: int | None = None,
    made_by: str = "",
) -> list[Write]:
    """The writes that make a tenant; for the tenant's own store, with whatever else belongs to its beginning.

    Args:
        made_by: the id reserved for the request, by which its second try knows its own effect.
    """
    moment = clock.now()
    tenant = Tenant(
        id=tenant_id,
        name=name,
        status="active",
        plan=plan,
        limits=limits or TenantLimits(),
        burst=burst,
        created_at=moment,
        updated_at=moment,
        version=1,
    )
    return [
        Put(keys.TENANT, tenant.model_dump_json(), parts={"made_by": json.dumps(made_by)}),
        Put(keys.tenant_entry(tenant.created_at, tenant.id), tenant.model_dump_json()),
    ]


def read(item: Item) -> Tenant:
    return Tenant.model_validate_json(item.doc)


def standing(tenant_id: str) -> Standing:
    """Whether and how much a tenant may call; remembered for `AUTHORIZER_CACHE_SECONDS`, else 1 request.

    A tenant without a record, as boot keys may name one, is active and has the default limits.
    """
    known = _remembered.get(tenant_id)
    if known is not None:
        return known
    item = TenantStore(tenant_id).get(keys.TENANT)
    if item is None:
        found = Standing(True, _filled_in(TenantLimits(), "free"), settings().gateway_key)
    else:
        found = _standing(item)
    _remembered.keep(tenant_id, found, time.monotonic() + settings().authorizer_cache_seconds)
    return found


def _standing(item: Item) -> Standing:
    tenant = read(item)
    own = json.loads(item.parts.get(GATEWAY_PART, "{}")).get("key")
    return Standing(tenant.status == "active", _filled_in(tenant.limits, tenant.plan), own or settings().gateway_key)


def is_unlimited(tenant: Tenant) -> bool:
    """Whether the tenant's requests have no limit now, so that nobody counts them."""
    return not _filled_in(tenant.limits, tenant.plan).requests


def _filled_in(limits: TenantLimits, plan: Plan) -> TenantLimits:
    unlimited = plan == "unlimited"
    defaults: dict[str, Any] = {
        "requests": [] if unlimited else list(settings().rate_limit_default),
        "runs": [] if unlimited else list(settings().rate_limit_runs),
    }
    given = limits.model_dump(exclude_none=True)
    return TenantLimits(**(defaults | given))
