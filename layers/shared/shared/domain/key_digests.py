"""What the table holds of a platform key: HMAC-SHA256(pepper, key), and the fingerprint of that pepper.

A rotated pepper (the secret `API_KEY_PEPPER`) makes the digests of new keys at once. Those made by the one before still
hold, and are made anew when their keys are used, since only then the key itself is at hand.
"""

import hashlib
import hmac
import json
from typing import Any

from shared.clients.secrets import ring

_PEPPER = "API_KEY_PEPPER"


def made(key: str) -> dict[str, str]:
    """The digest of a key by the current pepper.

    Raises:
        RuntimeError: this deployment has no pepper; no key can be made or checked.
    """
    current = ring(_PEPPER).current()
    if current is None:
        raise RuntimeError("API_KEY_PEPPER is not set")
    fingerprint, pepper = current
    return {"hash": _digest(pepper, key), "pepper": fingerprint}


def fits(entry: dict[str, Any], key: str) -> bool:
    """Whether a key is the one that an entry of the directory was made from, compared in constant time.

    Raises:
        RuntimeError: as `made`.
    """
    peppers = ring(_PEPPER)
    if not peppers.values():
        raise RuntimeError("API_KEY_PEPPER is not set")
    named = entry.get("pepper")
    candidates = [peppers.value(named)] if named else peppers.values().values()
    same = [hmac.compare_digest(entry["hash"], _digest(pepper, key)) for pepper in candidates if pepper is not None]
    return any(same)


def renewed(entry: dict[str, Any], key: str) -> str | None:
    """The entry with its key's digest by the current pepper; `None` if that is what it holds."""
    current = made(key)
    return None if entry.get("pepper") == current["pepper"] else json.dumps(entry | current)


def _digest(pepper: bytes, key: str) -> str:
    return hmac.new(pepper, key.encode(), hashlib.sha256).hexdigest()
