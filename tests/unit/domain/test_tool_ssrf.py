"""No tool call opens a connection to where it may not go, whichever way it is asked for: an agent's run, `execute`,
`test`, the token URL of `oauth2`, a URL in the arguments. Asserted on what connects.
"""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from pydantic import ValidationError

from shared.clients import address, oauth2
from shared.domain import plans, tool_runs, tools, webhooks
from shared.domain.leaves import Leave
from shared.domain.tool_proofs import Asker
from shared.domain.webhooks import Outgoing
from shared.errors import ToolError
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.addresses import BAD_URLS, DENIED
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call

pytestmark = pytest.mark.usefixtures("machine")
assert len(DENIED) + len(BAD_URLS) >= 60

LITERAL = [found for found in DENIED.values() if "%" not in found]
PUBLIC = "1.1.1.1"


class Network:
    """Names and connections on paper."""

    def __init__(self) -> None:
        self.names: dict[str, Iterator[list[str]]] = {}
        self.opened: list[str] = []

    def getaddrinfo(self, host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        found = next(self.names[host]) if host in self.names else [host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 443)) for one in found]

    def connect(self, found: IPv4Address | IPv6Address, *_: Any) -> Any:
        self.opened.append(str(found))
        raise ConnectionRefusedError


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, setting: Callable[[str, str], None]) -> Network:
    found = Network()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    monkeypatch.setattr(address, "connect", found.connect)
    setting("SECRET_SHOP", "s3cr3t")
    oauth2._remembered.clear()
    return found


def code(api: Api, verb: str = "execute", tool: str = "lookup", **body: Any) -> str:
    """How a call of the tool failed, over the API."""
    run = api.make(f"/tools/{tool}/{verb}", **body)
    assert run["status"] == "failed"
    return str(run["error_message"].partition(":")[0])


def failure(store: TenantStore, *domains: str, args: dict[str, Any] | None = None, **fields: Any) -> str:
    """How a call of such a tool fails, in the worker: the runs around 600 calls would take minutes."""
    tool = tools.new(store, tools.ToolCreate.model_validate({"name": "lookup", "endpoint": runs.ENDPOINT} | fields))
    terms = tool_runs.ToolExecute(secrets_ref="SHOP", allowed_domains=list(domains), timeout_ms=5_000)
    planned = plans.plan_tool(tool, terms, "lookup", may_write=True)
    outgoing = Outgoing(Asker("tenant_a", "", "run", "call"), "trace", time.monotonic() + 60, Leave(store, "run"))
    send = webhooks.fetch if planned.execution_type == "internal" else webhooks.call
    with pytest.raises(ToolError) as failed:
        send(planned, args or {}, outgoing)
    return failed.value.code


def url_of(denied: str) -> str:
    host = address.canonical_host(denied)
    return f"https://[{host}]/" if ":" in host else f"https://{host}/"


def oauth2_by(url: str) -> dict[str, Any]:
    return {"auth_type": "oauth2", "auth_config": {"token_url": url, "client_id": "shop"}}


@pytest.mark.parametrize("verb", ["execute", "test"])
def test_direct_calls_are_guarded(api: Api, network: Network, verb: str) -> None:
    runs.webhook(api)
    runs.webhook(api, "metadata", endpoint="http://169.254.169.254/latest/meta-data/")
    runs.webhook(api, "oauth", **oauth2_by("https://login.example/token"))
    network.names["tools.example"] = itertools.repeat([PUBLIC, "10.0.0.1"])
    network.names["login.example"] = itertools.repeat(["127.0.0.1"])
    for tool in ("lookup", "metadata", "oauth"):
        assert code(api, verb, tool, secrets_ref="SHOP") == "address_blocked"
    assert network.opened == []


@pytest.mark.parametrize("denied", DENIED.values(), ids=DENIED.keys())
def test_names_that_lead_into_the_house(store: TenantStore, network: Network, denied: str) -> None:
    network.names["tools.example"] = itertools.repeat([PUBLIC, denied])
    assert failure(store) == "address_blocked"
    network.names["login.example"] = itertools.repeat([denied])
    for domains in ((), ("tools.example", "login.example")):
        assert failure(store, *domains, **oauth2_by("https://login.example/token")) == "address_blocked"
    assert network.opened == []


@pytest.mark.parametrize("denied", LITERAL)
def test_addresses_of_the_house(store: TenantStore, network: Network, denied: str) -> None:
    url, host = url_of(denied), address.canonical_host(denied)
    assert failure(store, endpoint=url) == "address_blocked"
    assert failure(store, host, endpoint=url) == "address_blocked"
    assert failure(store, **oauth2_by(url)) == "address_blocked"
    assert failure(store, "tools.example", host, **oauth2_by(url)) == "address_blocked"
    page: dict[str, Any] = {"name": "http_get", "endpoint": None, "args": {"url": url}}
    assert failure(store, "example.com", **page) == "host_not_allowed"
    assert failure(store, host, **page) == "address_blocked"
    assert network.opened == []


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_urls_that_can_be_misread(store: TenantStore, network: Network, url: str) -> None:
    """They are not even saved, and nothing else that takes a URL takes them."""
    for fields in ({"endpoint": url}, oauth2_by(url)):
        with pytest.raises(ValidationError):
            tools.ToolCreate.model_validate({"name": "x", "endpoint": runs.ENDPOINT} | fields)
    allowed = ["example.com", "good.example", "evil.example", "c.example", "127.0.0.1"]
    assert failure(store, *allowed, name="http_get", endpoint=None, args={"url": url}) == "url_invalid"
    assert network.opened == []


def test_a_name_server_that_changes_its_mind(api: Api, network: Network) -> None:
    """The address that was checked is the one that is called; each further look-up is checked anew."""
    runs.webhook(api, idempotent=True)
    network.names["tools.example"] = itertools.cycle([[PUBLIC], ["169.254.169.254"]])
    assert code(api) == "address_blocked"
    assert set(network.opened) == {PUBLIC}


def test_an_agents_tools_are_guarded_alike(api: Api, network: Network, model: ScriptedModel) -> None:
    ids = [runs.webhook(api), runs.webhook(api, "oauth", **oauth2_by("https://login.example/token"))]
    runs.agent(api)
    for tool_id in ids:
        api.post(f"/agents/support/tools/{tool_id}", {"secrets_ref": "SHOP"})
    network.names["tools.example"] = itertools.repeat(["127.0.0.1"])
    network.names["login.example"] = itertools.repeat(["169.254.169.254"])
    model.asks(call("lookup", {}, id="c1"), call("oauth", {}, id="c2")).says("done")
    events = runs.events(api, runs.start(api)["id"])
    assert [data["code"] for data in runs.named(events, "tool.error")] == ["address_blocked"] * 2
    assert network.opened == []


@pytest.mark.parametrize("value", ["@127.0.0.1", "?@127.0.0.1", "#", ":80", "%2f%2f127.0.0.1", "127.0.0.1"])
def test_path_arguments_stay_on_the_host(store: TenantStore, network: Network, value: str) -> None:
    network.names["tools.example"] = itertools.repeat([PUBLIC])
    schema = {"properties": {"id": {}}, "required": ["id"]}
    found = failure(store, endpoint="https://tools.example/{id}", input_schema=schema, args={"id": value})
    assert found == "connect_failed"
    assert set(network.opened) == {PUBLIC}
