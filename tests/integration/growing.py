"""What must cost the same whatever there is already: each operation once, of a tenant that has much.

Two count it: test_growth.py over HTTP, and benchmarks/growth.py in one process with far more of everything.
"""

from dataclasses import dataclass
from typing import Any, Protocol

NUMBER = "000000"
"""In the names of the first of each kind, and in no id."""
_NARROWED = (
    "agents?q=grown",
    "agents?status=draft",
    "agents?kind=llm",
    "tools?status=active",
    "tools?execution_type=http_webhook",
    "tools?category=grown",
    "runs?status=succeeded",
    "runs?kind=llm",
    "runs?status=timed_out",
)


class Ask(Protocol):
    """Sends a request that must succeed, and counts it under the name of its operation."""

    def __call__(self, operation: str, body: Any = None, path: str = "", *, by_operator: bool = False) -> Any:
        """The answer's JSON.

        Args:
            path: with its ids, where the operation's own does not do.
        """


@dataclass(frozen=True, slots=True)
class First:
    """What the tenant had first, and of which all else are copies: an agent, its run, and where its tools are."""

    tenant: str
    agent: str
    run: str
    endpoint: str


def each_once(first: First, name: str, ask: Ask) -> None:
    """Ask for every operation.

    Args:
        name: of what is made; as long each time.
    """
    agent, run = f"/agents/{first.agent}", f"/runs/{first.run}"
    ask("GET /agents/{id}", path=agent)
    ask("GET /agents/{name}", path=f"/agents/grown {NUMBER}")
    for things in ("agents", "tools", "runs", "sessions", "audit", "api-keys", "users", "executions"):
        ask(f"GET /{things}?limit=5")
    for narrowed in _NARROWED:
        ask(f"GET /{narrowed}&limit=5")
    ask("GET /tools/categories")
    ask("GET /runs?agent_id={id}&limit=5", path=f"/runs?agent_id={first.agent}&limit=5")
    ask("GET /runs/{id}", path=run)
    ask("GET /runs/{id}/events?limit=5", path=f"{run}/events?limit=5")
    ask("GET /sessions/{id}/messages", path=f"/sessions/session-{NUMBER}/messages")
    ask("GET /tenants?limit=3", by_operator=True)
    ask("GET /tenants/{id}/usage", path=f"/tenants/{first.tenant}/usage", by_operator=True)
    tool = ask("POST /tools", {"name": f"made_{name}", "endpoint": first.endpoint})["id"]
    new = ask("POST /agents", {"name": f"made {name}"})["id"]
    ask("PATCH /agents/{id}", {"role": "counter"}, f"/agents/{new}")
    ask("POST /agents/{id}/tools/{id}", path=f"/agents/{new}/tools/{tool}")
    ask("POST /agents/{id}/publish", path=f"/agents/{new}/publish")
    with_tool = {"agent_id": new, "input_message": f'Use made_{name} to say "hello"'}
    assert len(ask("POST /runs (one tool)", with_tool, "/runs")["tools_called"]) == 1
    in_session = {"agent_id": first.agent, "input_message": "Good morning", "session_id": f"session-{name}"}
    ask("POST /runs (no tool, a new session)", in_session, "/runs")
    ask("DELETE /agents/{id}", path=f"/agents/{new}")
    ask("DELETE /tools/{id}", path=f"/tools/{tool}")
