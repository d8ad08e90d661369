"""The platform as the integration tests and the counts of docs/access-patterns.md need it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from local.runtime import Runtime
from shared.domain.scopes import PLATFORM
from tests.integration.neighbours import Neighbours

_NEVER = 86_400.0
TOOL_SECRETS = {"SECRET_DEMO_TOKEN": "s3cr3t-value-of-the-tool", "SECRET_WRONG_TOKEN": "not the right one"}


@contextmanager
def running(
    data_dir: Path, port: int, neighbours: Neighbours, record_permissions: Path | None = None
) -> Iterator[Runtime]:
    """The template in this process, with tenants that have no limits, and with neighbours that it knows."""
    settings = {
        "TOOL_PRIVATE_HOSTS": f"127.0.0.1:{neighbours.port}",
        "CUSTOM_BASE_URL": f"{neighbours.url}/v1",
        "CUSTOM_API_KEY": "scripted",
        "SSE_KEEPALIVE_SECONDS": "1",
        **TOOL_SECRETS,
        "AUTH_API_KEYS": json.dumps(
            {
                "mine": {"tenant_id": "tenant_mine", "user_id": "mine-user", "scopes": ["admin"]},
                "theirs": {"tenant_id": "tenant_theirs", "user_id": "theirs-user", "scopes": ["admin"]},
                "generated": {"tenant_id": "tenant_generated", "user_id": "generated-user", "scopes": ["admin"]},
                "counts": {"tenant_id": "tenant_counts", "user_id": "counts-user", "scopes": ["admin"]},
                "no-scopes": {"tenant_id": "tenant_mine", "user_id": "nobody", "scopes": []},
                "operator": {"tenant_id": "tenant_mine", "user_id": "operator", "scopes": ["admin", *sorted(PLATFORM)]},
            }
        ),
    }
    # Nobody kills this one. A busy machine takes seconds to write a large state, and nothing is answered meanwhile.
    with Runtime(data_dir, port, settings, snapshot_seconds=_NEVER, record_permissions=record_permissions) as runtime:
        for tenant in ("tenant_mine", "tenant_theirs", "tenant_generated", "tenant_counts"):
            new_tenant(runtime, tenant)
        yield runtime


def new_tenant(platform: Runtime, tenant_id: str, **fields: Any) -> str:
    """Make a tenant, unlimited unless the fields say otherwise; returns its administrator's key."""
    body = {"id": tenant_id, "name": tenant_id, "plan": "unlimited", **fields}
    headers = {"X-API-Key": platform.admin_key}
    answer = httpx.post(f"{platform.url}/tenants", json=body, headers=headers, timeout=35)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["admin_key"])


def eventually(check: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it is not, after that long.
    """
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.01)
