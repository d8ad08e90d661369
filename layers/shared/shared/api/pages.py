"""Pages for people: HTML in which nothing runs but the scripts that it was made with."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler import Response

DOCUMENTED: dict[int, Any] = {
    200: {"description": "A page for people.", "content": {"text/html": {"schema": {"type": "string"}}}}
}
"""For the `responses` of a route that answers with a page."""

_HTML = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>{style}</style></head>
<body>{body}
{scripts}</body>
</html>
"""


def packaged(package: str, file: str) -> str:
    """The text of a file inside an installed package, which need not be importable.

    Raises:
        LookupError: the package is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"the package {package} is not installed")
    return Path(spec.submodule_search_locations[0], file).read_text(encoding="utf-8")


def page(title: str, *, body: str, scripts: Sequence[str], style: str = "") -> Response[str]:
    """A page that carries all it needs: it loads nothing from anywhere but the API itself.

    Args:
        body: HTML. scripts: run in this order; the browser runs these and no others. style: CSS.
    """
    # Styles may stand anywhere: both viewers make theirs as they go, and a style runs nothing.
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        "style-src": "'unsafe-inline'",
        "img-src": "data:",
        "font-src": "data:",
        "connect-src": "'self'",
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    headers: dict[str, str | list[str]] = {
        "Cache-Control": "public, max-age=3600",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    tags = "\n".join(f"<script>{script}</script>" for script in scripts)
    text = _HTML.format(title=escape(title), style=style, body=body, scripts=tags)
    return Response(status_code=200, content_type="text/html; charset=utf-8", body=text, headers=headers)


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
