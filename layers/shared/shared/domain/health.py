"""Whether the platform is well: itself, and the table."""

import time
from typing import Literal

from shared.domain.fields import Inner
from shared.errors import TableBusy, Unavailable
from shared.store import keys
from shared.store.table import TenantStore

_REMEMBERED_SECONDS = 1.0


class Health(Inner):
    """That the API answers."""

    status: Literal["ok", "healthy"]


class TableHealth(Inner):
    """That the table answers."""

    status: Literal["ok"]
    latency_ms: float


# When the table was asked last, and what came of it: whoever asks often must not load it.
_last: tuple[float, TableHealth | Unavailable] | None = None


def table(store: TenantStore) -> TableHealth:
    """How the table answers; 1 request a second at most in each environment.

    Raises:
        Unavailable: it does not, or is throttled.
    """
    global _last
    now = time.monotonic()
    if _last is None or now - _last[0] >= _REMEMBERED_SECONDS:
        _last = now, _asked(store)
    found = _last[1]
    if isinstance(found, Unavailable):
        raise found
    return found


def _asked(store: TenantStore) -> TableHealth | Unavailable:
    begun = time.perf_counter()
    try:
        store.get(keys.HEALTH)
    except TableBusy:
        return _unavailable("The table is throttled.", "table_throttled")
    except Exception:  # noqa: BLE001 - whatever it is, the table gave no answer
        return _unavailable("The table does not answer.", "table_unavailable")
    return TableHealth(status="ok", latency_ms=round((time.perf_counter() - begun) * 1000, 3))


def _unavailable(detail: str, code: str) -> Unavailable:
    return Unavailable(detail, code=code, headers={"Retry-After": "1"})
