"""From a credential to who it stands for, remembered for `AUTHORIZER_CACHE_SECONDS`."""

import hashlib
import threading
import time
from collections import OrderedDict

from shared import clock
from shared.config import settings
from shared.domain import api_keys
from shared.domain.api_keys import Identity

_MAX_REMEMBERED = 1_000
_remembered: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
_lock = threading.Lock()


def resolve(key: str | None) -> Identity | None:
    """Who the key stands for; `None` for nobody. A key seen lately costs no request.

    Refusals are not remembered: a key made a moment ago must work.
    """
    if not key or len(key) > 200:
        return None
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
    with _lock:
        known = _remembered.get(digest)
    if known and known[0] > time.monotonic():
        return known[1]
    identity = api_keys.identify(key)
    with _lock:
        _remembered.pop(digest, None)
        if identity is not None:
            _remembered[digest] = (time.monotonic() + _seconds(identity), identity)
            if len(_remembered) > _MAX_REMEMBERED:
                _remembered.popitem(last=False)
    return identity


def _seconds(identity: Identity) -> float:
    """How long an identity is remembered: never beyond the end of its key."""
    seconds = settings().authorizer_cache_seconds
    return min(seconds, clock.seconds_until(identity.expires_at)) if identity.expires_at else seconds
