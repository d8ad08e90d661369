"""What a newcomer finds on the first start: the demo tenants with their limits, and a key that may do everything."""

import json
import os
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.errors import LocalError
from local.settings import DEMO_TENANTS, OPERATORS_SCOPES

_TIMEOUT_SECONDS = 30


def demo_key(url: str, operator_key: str, boot_key: str, file: Path) -> str:
    """The demo tenant's key: the one in ``file`` while it works, else a new one made through the API.

    With a new one come the demo tenants, as far as they do not exist.

    Args:
        operator_key: of the operator, in no demo tenant; boot_key: of the demo tenant's administrator. The demo tenant
            calls only after it is made, since its limits are remembered from its first call.
    """
    if file.exists():
        kept = file.read_text().strip()
        status, _ = _call(url, "GET", "/tenants?limit=1", kept)
        if status == 200:
            return kept
    for tenant, limits in DEMO_TENANTS.items():
        plan = "free" if limits else "unlimited"
        body = {"id": tenant, "name": tenant, "plan": plan, "limits": {"requests": limits}}
        status, answer = _call(url, "POST", "/tenants", operator_key, body)
        if status not in {201, 409}:
            raise LocalError(f"the tenant {tenant} could not be made: POST /tenants answered {status} {answer}")
    scopes = ["admin", *OPERATORS_SCOPES]
    status, answer = _call(url, "POST", "/api-keys", boot_key, {"name": "Local demo", "scopes": scopes})
    if status != 201:
        raise LocalError(f"the demo key could not be made: POST /api-keys answered {status} {answer}")
    made = str(answer["key"])
    _write_private(file, made)
    return made


def _call(url: str, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_SECONDS)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"X-API-Key": key, "Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        return response.status, json.loads(content) if content else None
    finally:
        connection.close()


def _write_private(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"{text}\n")
