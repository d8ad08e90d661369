"""What lets a page of another origin read an answer."""

from shared import config

_EXPOSED = (
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Retry-After",
    "X-Next-Cursor",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "X-Trace-Id",
)


def headers(origin: str | None) -> dict[str, str]:
    """The CORS headers of an answer: leave to read for the pages of a listed origin, none for others.

    Args:
        origin: the request's `Origin` header.
    """
    # Caches must keep the answers to different origins apart, those without leave too.
    found = {"Vary": "Origin"}
    if origin and origin in config.cors_origins():
        found["Access-Control-Allow-Origin"] = origin
        found["Access-Control-Expose-Headers"] = ", ".join(_EXPOSED)
    return found
