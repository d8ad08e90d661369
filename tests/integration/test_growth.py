"""What a tenant has already, and how many tenants there are, makes no operation dearer: exact counts, no times."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest

from local.deploy import client as aws_client
from local.runtime import Runtime
from tests.integration.counting import counted
from tests.integration.growing import NUMBER, First, each_once
from tests.integration.running import new_tenant

FEW, MANY, TENANTS = 10, 1_000, 100
TENANT = "tenant_growth"
_COPIED = {
    f"TENANT#{TENANT}#{kind}"
    for kind in ("AGENT", "AGENT_NAME", "TOOL", "TOOL_NAME", "RUN", "SESSION", "SESSION_LIST", "AUDIT")
}
_BATCH = 25
_OWN_EVENTS, _FIRST_EVENTS, _CHANGES = 50, 100, 3
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Figures = dict[str, tuple[dict[str, int], float, float]]
Raw = dict[str, Any]


class World:
    """A tenant that grows, in a table that fills. What is put there by hand are copies of what the API wrote."""

    def __init__(self, platform: Runtime, api: httpx.Client) -> None:
        self.platform, self.api = platform, api
        self.dynamodb = aws_client("dynamodb", platform.emulator_url)
        self.table = platform.stack.resources["Table"]
        self.written: list[Raw] = []
        self.agent_id = self.make("/agents", name=f"grown {NUMBER}")["id"]
        self.make("/tools", name=f"grown_{NUMBER}", category="grown", endpoint=f"{platform.tools_url}/echo")
        run = {"agent_id": self.agent_id, "input_message": "Good morning", "session_id": f"session-{NUMBER}"}
        self.run_id = self.make("/runs", **run)["id"]
        deadline = time.monotonic() + 90
        while len(self.api.get("/audit").json()) < _CHANGES or not self.api.get("/tools/categories").json():
            assert time.monotonic() < deadline, "the stream was not followed"
            time.sleep(0.05)
        mine = self.items(TENANT)
        self.originals = [item for item in mine if item["pk"]["S"] in _COPIED]
        self.log = [item for item in mine if item["pk"]["S"] == f"TENANT#{TENANT}#RUN#{self.run_id}"]
        (self.listed,) = (item for item in mine if item["pk"]["S"] == self.runs_of_agent)
        # The first page of the log is full in any case.
        self.put(self.events(0, _FIRST_EVENTS + 1))

    @property
    def runs_of_agent(self) -> str:
        return f"TENANT#{TENANT}#AGENT#{self.agent_id}#RUN"

    def make(self, path: str, **body: Any) -> Any:
        answer = self.api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def items(self, tenant: str) -> list[Raw]:
        """All that a tenant has in the table."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=self.table,
            FilterExpression="begins_with(pk, :tenant)",
            ExpressionAttributeValues={":tenant": {"S": f"TENANT#{tenant}#"}},
        )
        return [item for page in pages for item in page["Items"]]

    def put(self, items: Iterable[Raw]) -> None:
        """Write copies into the table. They bear no stamp, so that nobody makes audit records of them."""
        new = [{name: value for name, value in item.items() if name != "by"} for item in items]
        self.written += [{"pk": item["pk"], "sk": item["sk"]} for item in new]
        self._send([{"PutRequest": {"Item": item}} for item in new])

    def clean(self) -> None:
        self._send([{"DeleteRequest": {"Key": key}} for key in self.written])

    def _send(self, requests: list[Raw]) -> None:
        for first in range(0, len(requests), _BATCH):
            self.dynamodb.batch_write_item(RequestItems={self.table: requests[first : first + _BATCH]})

    def grow(self, begin: int, end: int) -> None:
        """More agents, tools, sessions, runs and audit records, as many of each; the runs are the first agent's, too.

        The log of the first run grows by as many events.
        """
        text = json.dumps(self.originals)
        ids = set(_ID.findall(text))
        copies: list[Raw] = []
        for number in range(begin, end):
            copy = text.replace(NUMBER, f"{number:06d}")
            for one in ids:
                copy = copy.replace(one, f"{one[:-6]}{number:06x}")
            copies += json.loads(copy)
            copies.append(self.listed | {"sk": {"S": f"{self.run_id[:-6]}{number:06x}"}})
        copies += self.events(begin + _FIRST_EVENTS, end + _FIRST_EVENTS)
        self.put(copies)

    def events(self, begin: int, end: int) -> list[Raw]:
        """Copies of the first run's first event, behind its own."""
        first = min(self.log, key=lambda item: str(item["sk"]["S"])) | {"parts": {"M": {}}}
        return [first | {"sk": {"S": f"EVENT#{number + _OWN_EVENTS:06d}"}} for number in range(begin, end)]

    def add_tenants(self, count: int) -> None:
        """More tenants in the operator's list, each with what this one had at first."""
        entries = [item for item in self.items("_operator") if TENANT in json.dumps(item)]
        text = json.dumps([*self.originals, *entries])
        names = [f"tenant_g{number:05d}" for number in range(count)]
        self.put(item for name in names for item in json.loads(text.replace(TENANT, name)))


@pytest.fixture(scope="module")
def world(platform: Runtime) -> Iterator[World]:
    headers = {"X-API-Key": new_tenant(platform, TENANT)}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=35) as api:
        made = World(platform, api)
        yield made
        made.clean()


def measured(world: World, name: str) -> Figures:
    """Each operation once: its requests by kind, read units and write units.

    Args:
        name: of what is made; as long each time.
    """
    found: Figures = {}

    def count(operation: str, body: Any = None, path: str = "", *, by_operator: bool = False) -> Any:
        method, _, route = operation.partition(" ")
        headers = {"X-API-Key": world.platform.admin_key} if by_operator else None
        with counted() as tally:
            answer = world.api.request(method, path or route, json=body, headers=headers)
        assert answer.is_success, answer.text
        found[operation] = (dict(tally.requests), tally.read_units, tally.write_units)
        return answer.json() if answer.content else None

    world.api.get("/agents")
    each_once(First(TENANT, world.agent_id, world.run_id, f"{world.platform.tools_url}/echo"), name, count)
    return found


def test_nothing_costs_more_for_what_there_is_already(world: World) -> None:
    world.grow(1, FEW)
    few = measured(world, "000001x")
    assert len(few) >= 35
    world.grow(FEW, MANY)
    partitions = Counter(item["pk"]["S"] for item in world.items(TENANT))
    assert min(partitions[partition] for partition in {*_COPIED, world.runs_of_agent}) >= MANY
    assert measured(world, "000002x") == few, f"{FEW} and {MANY} of everything"
    world.add_tenants(TENANTS)
    assert measured(world, "000003x") == few, f"{TENANTS} tenants more"


def test_a_page_of_events_costs_the_same_from_a_long_log(world: World) -> None:
    def page(after: int) -> tuple[int, float]:
        with counted() as tally:
            answer = world.api.get(f"/runs/{world.run_id}/events?limit=10&after={after}")
        assert len(answer.json()) == 10, answer.text
        return tally.total, tally.read_units

    assert page(100) == page(500) == page(900)
