"""At most five failed logins in 15 minutes under a name, whether or not the name is anybody's.

An attempt takes its place before the password is looked at, and gives it back if the password was right. So the limit
is exact however many try at once. The places are the moments of the attempts: a window that slides.
"""

import json
import math
import time
from dataclasses import dataclass

from shared import metrics
from shared.errors import ConditionFailed, RateLimited
from shared.store import keys
from shared.store.keys import DirectoryKey
from shared.store.table import Item, Put, TenantStore, find_directory_entry
from shared.telemetry import measure

MAX_FAILURES = 5
WINDOW_SECONDS = 900

# Whoever loses a race has seen another attempt take a place or give one back.
_TRIES = 20


@dataclass(frozen=True, slots=True)
class Attempt:
    """A place that was taken."""

    key: DirectoryKey
    moment: float
    version: int
    others: list[float]


def begin(store: TenantStore, digest: str) -> Attempt:
    """Take a place; 1 read and 1 write, more if others try at the same time.

    Args:
        digest: of the name.

    Raises:
        RateLimited: all places are taken; says when the first one is free again.
    """
    key = keys.login_attempts(digest)
    for _ in range(_TRIES):
        item = find_directory_entry(key)
        now = time.time()
        others = [moment for moment in _moments(item) if moment > now - WINDOW_SECONDS]
        if len(others) >= MAX_FAILURES:
            raise _refusal(math.ceil(min(others) + WINDOW_SECONDS - now))
        attempt = Attempt(key, now, 1 + (item.version if item else 0), others)
        if _written(store, attempt, [*others, now], item):
            return attempt
    raise _refusal(1)


def give_back(store: TenantStore, attempt: Attempt) -> None:
    """The attempt did not fail; 1 write, more if others try at the same time."""
    if _written(store, attempt, attempt.others, attempt):
        return
    for _ in range(_TRIES):
        item = find_directory_entry(attempt.key)
        left = _moments(item)
        if attempt.moment not in left:
            return
        left.remove(attempt.moment)
        if _written(store, attempt, left, item):
            return


def _moments(item: Item | None) -> list[float]:
    return list(json.loads(item.doc)) if item else []


def _written(store: TenantStore, attempt: Attempt, moments: list[float], seen: Item | Attempt | None) -> bool:
    expires_at = int(time.time()) + WINDOW_SECONDS + 1
    version = seen.version if seen else 0
    put = Put(attempt.key, json.dumps(moments), version or "absent", version + 1, expires_at=expires_at)
    try:
        store.write(put)
    except ConditionFailed:
        return False
    return True


def _refusal(seconds: int) -> RateLimited:
    measure({metrics.LIMITS_REFUSED: 1}, {"limit": "logins"})
    return RateLimited(
        "Too many failed logins under this name; try again later.",
        code="too_many_attempts",
        headers={"Retry-After": str(max(1, seconds))},
    )
