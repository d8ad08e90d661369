"""UUIDv7: opaque, and sorted by the time they were made (RFC 9562, section 5.7)."""

import os
import re
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_lock = threading.Lock()
_last = 0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_id() -> str:
    """A new UUIDv7. Ids of one process are strictly ascending, so that lists keep the order of creation."""
    global _last
    # 48 bits of milliseconds and 12 bits of the fraction below (RFC 9562, section 6.2, method 3).
    now = time.time_ns()
    stamp = (now // 1_000_000 << 12) | (now % 1_000_000 * 4096 // 1_000_000)
    with _lock:
        _last = stamp = max(stamp, _last + 1)
    value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2
    return str(uuid.UUID(int=value))


def made_at(an_id: str) -> datetime:
    """When an id was made, to the millisecond."""
    return datetime.fromtimestamp((uuid.UUID(an_id).int >> 80) / 1000, UTC)


def first_at(moment: datetime) -> str:
    """Where ids made at that time begin: a bound for the sort keys of a list."""
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    return str(uuid.UUID(int=max(0, min(milliseconds, 2**48 - 1)) << 80))


def is_id(text: str) -> bool:
    """Whether a text has the form of an id."""
    return _UUID.fullmatch(text) is not None
