"""What the tests of runs have in common."""

from typing import Any

from shared.domain.tools import Tool
from shared.store import keys
from shared.store.ids import new_id
from shared.store.table import Put, TenantStore
from tests.unit.support.gateway import Api

TERMINAL = {"result", "error", "cancelled"}
ENDPOINT = "https://tools.example/lookup"


def webhook(api: Api, name: str = "lookup", **fields: Any) -> str:
    """A tool behind HTTP; returns its id."""
    return str(api.make("/tools", **({"name": name, "endpoint": ENDPOINT} | fields))["id"])


def copies(store: TenantStore, tool: dict[str, Any], count: int) -> list[str]:
    """More tools like this one, put into the table as they are; returns their ids. Faster than making them."""
    ids = [new_id() for _ in range(count)]
    for number, tool_id in enumerate(ids):
        copy = Tool.model_validate(tool | {"id": tool_id, "name": f"copy {number}"})
        store.write(Put(keys.tool(tool_id), copy.model_dump_json(), lists=copy.lists))
    return ids


def internal(api: Api, name: str = "echo", **fields: Any) -> str:
    """A tool of the platform's own; returns its id."""
    return str(api.make("/tools", name=name, **fields)["id"])


def agent(api: Api, *tool_ids: str, **fields: Any) -> str:
    """A published agent named `support` with these tools; returns its id."""
    fields = {"name": "support", "status": "published", "tool_ids": list(tool_ids)} | fields
    return str(api.make("/agents", **fields)["id"])


def start(api: Api, message: str = "Hi", **fields: Any) -> Any:
    """Run the agent `support` and return the finished run."""
    return api.make("/runs", **({"agent_id": "support", "input_message": message} | fields))


def events(api: Api, run_id: str) -> list[dict[str, Any]]:
    """The log of a run that has ended: numbers without gaps, and exactly one end, which comes last."""
    found: list[dict[str, Any]] = api.get(f"/runs/{run_id}/events?limit=100").json
    assert [event["id"] for event in found] == list(range(1, len(found) + 1))
    assert [event["event"] in TERMINAL for event in found] == [False] * (len(found) - 1) + [True]
    return found


def names(found: list[dict[str, Any]]) -> list[str]:
    """The names of events, in order."""
    return [event["event"] for event in found]


def named(found: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """What the events of this name say."""
    return [event["data"] for event in found if event["event"] == name]
