"""What a tenant used, day by day: runs by status, tokens, cost."""

from decimal import Decimal

from pydantic import Field

from shared.domain.fields import Record
from shared.store import keys
from shared.store.table import Add, Item, TenantStore

MAX_DAYS = 366


class UsageDay(Record):
    """What the runs that ended on one day (UTC) used."""

    date: str
    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost_usd: str = Field(default="0", description="A decimal number.")


def add(
    finished_at: str,
    status: str,
    *,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    total_tokens: int | None,
    cost_usd: str | None,
) -> Add:
    """The write that counts a run in on the day it ended. It must happen once: see `Add`."""
    amounts: dict[str, int | Decimal] = {
        "runs": 1,
        status: 1,
        "prompt_tokens": prompt_tokens or 0,
        "completion_tokens": completion_tokens or 0,
        "total_tokens": total_tokens or 0,
        "cost_usd": Decimal(cost_usd or 0),
    }
    return Add(keys.usage(finished_at[:10]), {name: amount for name, amount in amounts.items() if amount})


def days(store: TenantStore, limit: int) -> list[UsageDay]:
    """The newest days on which a run ended, newest first; 1 request.

    Args:
        limit: at most so many days; `MAX_DAYS` is all that anybody can ask for.
    """
    page = store.query(keys.USAGE, limit=min(limit, MAX_DAYS), newest_first=True)
    return [_read(item) for item in page.items]


def _read(item: Item) -> UsageDay:
    counts = {name: int(amount) for name, amount in item.amounts.items() if name != "cost_usd"}
    return UsageDay(date=item.sort, cost_usd=f"{item.amounts.get('cost_usd', Decimal(0)):f}", **counts)
