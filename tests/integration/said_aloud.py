"""What must not be in the lines that the functions write."""

import re
from collections.abc import Iterable

_SECRETS = {
    "a key of the platform": re.compile(r"\bap_[a-z0-9]{1,12}_[0-9A-Za-z]{16}_[0-9A-Za-z]{8}"),
    "a token": re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\."),
    "a hashed password": re.compile(r"\$2[aby]\$\d\d\$"),
}


def secrets_in(text: str, known: Iterable[str] = ()) -> list[str]:
    """Where a text holds what looks like a secret, or one of those known; each cut short."""
    found = [f"{what}: {hit[0][:16]}..." for what, pattern in _SECRETS.items() if (hit := pattern.search(text))]
    return found + [f"{secret[:6]}..." for secret in known if secret in text]
