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
from tests.integration.running import new_tenant

FEW, MANY, TENANTS = 10, 1_000, 100
TENANT = "tenant_growth"
_COPIED = {
    f"TENANT#{TENANT}#{kind}"
    for kind in ("AGENT", "AGENT_NAME", "TOOL", "TOOL_NAME", "RUN", "SESSION", "SESSION_LIST", "AUDIT")
}
_BATCH = 25
_OWN_EVENTS, _CHANGES = 50, 3
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
        self.agent_id = self.make("/agents", name="grown 000000")["id"]
        self.make("/tools", name="grown_000000", category="grown", endpoint=f"{platform.tools_url}/echo")
        run = {"agent_id": self.agent_id, "input_message": "Good morning", "session_id": "session-000000"}
        self.run_id = self.make("/runs", **run)["id"]
        deadline = time.monotonic() + 90
        while len(self.api.get("/audit").json()) < _CHANGES or not self.api.get("/tools/categories").json():
            assert time.monotonic() < deadline, "the stream was not followed"
            time.sleep(0.05)
        mine = self.items(TENANT)
        self.originals = [item for item in mine if item["pk"]["S"] in _COPIED]
        self.log = [item for item in mine if item["pk"]["S"] == f"TENANT#{TENANT}#RUN#{self.run_id}"]
        (self.listed,) = (item for item in mine if item["pk"]["S"] == self.runs_of_agent)

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
            copy = text.replace("000000", f"{number:06d}")
            for one in ids:
                copy = copy.replace(one, f"{one[:-6]}{number:06x}")
            copies += json.loads(copy)
            copies.append(self.listed | {"sk": {"S": f"{self.run_id[:-6]}{number:06x}"}})
        start = min(self.log, key=lambda item: str(item["sk"]["S"])) | {"parts": {"M": {}}}
        copies += [start | {"sk": {"S": f"EVENT#{number + _OWN_EVENTS:06d}"}} for number in range(begin, end)]
        self.put(copies)

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
    api, found = world.api, dict[str, Any]()
    agent, run = f"/agents/{world.agent_id}", f"/runs/{world.run_id}"

    def count(operation: str, body: Raw | None = None, path: str = "", *, by: Raw | None = None) -> Any:
        method, _, route = operation.partition(" ")
        with counted() as tally:
            answer = api.request(method, path or route, json=body, headers=by)
        assert answer.is_success, answer.text
        found[operation] = (dict(tally.requests), tally.read_units, tally.write_units)
        return answer.json() if answer.content else None

    api.get("/agents")
    count("GET /agents/{id}", path=agent)
    count("GET /agents/{name}", path="/agents/grown 000000")
    for things in ("agents", "tools", "runs", "sessions", "audit", "api-keys", "users"):
        count(f"GET /{things}?limit=10")
    for narrowed in (
        "agents?q=grown",
        "agents?status=draft",
        "agents?kind=llm",
        "tools?status=active",
        "tools?execution_type=http_webhook",
        "tools?category=grown",
        "runs?status=succeeded",
        "runs?kind=llm",
        "runs?status=timed_out",
    ):
        count(f"GET /{narrowed}&limit=10")
    count("GET /tools/categories")
    count("GET /runs?agent_id=&limit=10", path=f"/runs?agent_id={world.agent_id}&limit=10")
    count("GET /runs/{id}", path=run)
    count("GET /sessions/{id}/messages", path="/sessions/session-000000/messages")
    operator = {"X-API-Key": world.platform.admin_key}
    count("GET /tenants?limit=3", by=operator)
    count("GET /tenants/{id}/usage", path=f"/tenants/{TENANT}/usage", by=operator)
    tool = count("POST /tools", {"name": f"made_{name}", "endpoint": f"{world.platform.tools_url}/echo"})["id"]
    new = count("POST /agents", {"name": f"made {name}"})["id"]
    count("PATCH /agents/{id}", {"role": "counter"}, f"/agents/{new}")
    count("POST /agents/{id}/tools/{id}", None, f"/agents/{new}/tools/{tool}")
    count("POST /agents/{id}/publish", None, f"/agents/{new}/publish")
    one_tool = {"agent_id": new, "input_message": f'Use made_{name} to say "hello"'}
    assert len(count("POST /runs (one tool)", one_tool, "/runs")["tools_called"]) == 1
    session = {"agent_id": world.agent_id, "input_message": "Good morning", "session_id": f"session-{name}"}
    count("POST /runs (no tool)", session, "/runs")
    count("DELETE /agents/{id}", None, f"/agents/{new}")
    count("DELETE /tools/{id}", None, f"/tools/{tool}")
    return found


def test_nothing_costs_more_for_what_there_is_already(world: World) -> None:
    world.grow(1, FEW)
    few = measured(world, "000001x")
    assert len(few) >= 33
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
