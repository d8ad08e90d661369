"""Counts the words of a text, and says which come most often."""

import logging
from collections import Counter
from typing import Any

logging.basicConfig(level=logging.INFO)


def handle(payload: dict[str, Any]) -> dict[str, Any]:
    """What the platform calls.

    Args:
        payload: what the caller sent; the text is its member `input`.

    Returns:
        What the caller gets: anything that JSON can say.
    """
    words = str(payload.get("input", "")).lower().split()
    logging.info("counted %d words", len(words))
    return {"words": len(words), "most": dict(Counter(words).most_common(3))}
