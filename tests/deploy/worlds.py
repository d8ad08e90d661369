"""The world of the events (tests/house/world.py) in the table of a deployed stack."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.emulator import REGION
from shared.clients import objects
from shared.domain import code_versions
from shared.store.table import TenantStore
from tests.deploy.deployment import Deployed
from tests.house import world
from tests.house.repository import Function, load_json

_BATCH = 25
_KEY = ("pk", "sk")
_SETTLED_SECONDS = 30
_LINK_SECONDS = 60


def parameters(outside: str) -> dict[str, str]:
    """What the stack must be told to know the world; `outside` plays the model and the tool."""
    return {
        "AllowTestTokens": "true",
        "AuthApiKeys": json.dumps(world.BOOT_KEYS),
        "OpenAIApiKey": "sk-of-the-world",
        "OpenAIBaseUrl": f"{outside}/v1",
        "SseKeepaliveSeconds": "1",
    }


class World:
    """The table, which can be made new for each event."""

    def __init__(self, stack: Deployed, outside: str) -> None:
        self._stack, self._table, self._outside = stack, stack.resources["Table"], outside

    def make(self) -> None:
        """Wait for what the last event began, and begin anew."""
        self._settle()
        self._delete([{"DeleteRequest": {"Key": {name: item[name] for name in _KEY}}} for item in self._found()])
        world.seed(f"{self._outside}/echo")

    def event(self, function: Function) -> Any:
        """A function's event. The addresses in it are of this bucket, and signed now: no signature lasts."""
        event = load_json(function.event)
        if function.name == "code_runner/run":
            built = code_versions.get(TenantStore(world.TENANT), world.CODE_AGENT_READY, 1)
            assert built is not None
            event["bundle"] = objects.link(built.bundle_key, "bundle.tar.gz", _LINK_SECONDS)
            event["stop"] = objects.link(f"stops/{world.TENANT}/{world.RUN_OF_CODE}", "stop", _LINK_SECONDS)
        return event

    def _found(self) -> Iterator[dict[str, Any]]:
        pages = self._stack.client("dynamodb").get_paginator("scan").paginate(TableName=self._table)
        return (item for page in pages for item in page["Items"])

    def _delete(self, requests: list[dict[str, Any]]) -> None:
        for begin in range(0, len(requests), _BATCH):
            batch = {self._table: requests[begin : begin + _BATCH]}
            assert not self._stack.client("dynamodb").batch_write_item(RequestItems=batch)["UnprocessedItems"]

    def _settle(self) -> None:
        deadline = time.monotonic() + _SETTLED_SECONDS
        while self._running():
            assert time.monotonic() < deadline, "a run does not end"
            time.sleep(0.02)

    def _running(self) -> bool:
        client = self._stack.client("stepfunctions")
        machines = [machine["stateMachineArn"] for machine in client.list_state_machines()["stateMachines"]]
        return any(
            client.list_executions(stateMachineArn=one, statusFilter="RUNNING")["executions"] for one in machines
        )


@contextmanager
def seen_from_here(stack: Deployed, outside: str) -> Iterator[None]:
    """Let `shared` read and write the stack's table in this process, as the world is made and looked at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TABLE_NAME", stack.resources["Table"])
        patch.setenv("UPLOADS_BUCKET", stack.resources["UploadsBucket"])
        patch.setenv("AWS_ENDPOINT_URL", stack.url)
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("API_KEY_PEPPER", "pepper")
        patch.setenv("TOOL_PRIVATE_HOSTS", outside.removeprefix("http://"))
        world.stand_still(patch)
        world.forget()
        yield
    world.forget()
