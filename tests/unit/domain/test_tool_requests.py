"""Where the arguments of a tool go: path, query, header or body; what may be saved, and what may be sent."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.usefixtures("machine")
BASE = "https://tools.example"


def schema(*required: str, **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {} for name in required} | optional, "required": list(required)}


def make(api: Api, **fields: Any) -> Any:
    return api.post("/tools", {"name": "lookup", "endpoint": f"{BASE}/x"} | fields)


def sent(api: Api, server: ToolServer, args: dict[str, Any], **fields: Any) -> httpx.Request:
    """The request that a call of such a tool sends."""
    assert make(api, **fields).status == 201
    run = api.make("/tools/lookup/execute", args=args)
    assert run["status"] == "succeeded", run["error_message"]
    (request,) = server.requests
    return request


def failure(api: Api, server: ToolServer, args: dict[str, Any], **fields: Any) -> str:
    assert make(api, **fields).status == 201
    run = api.make("/tools/lookup/execute", args=args)
    assert server.requests == []
    return str(run["error_message"])


def test_every_place_at_once(api: Api, server: ToolServer) -> None:
    request = sent(
        api,
        server,
        {"shop": "a b", "order_id": 7, "expand": True, "region": "north", "note": None, "lines": [{"sku": "x"}]},
        endpoint=f"{BASE}/shops/{{shop}}/orders/{{order-id}}.json?v=1",
        http_method="PUT",
        input_schema=schema("shop", "order_id", expand={}, region={}, note={}, lines={}),
        argument_places={
            "order_id": {"in": "path", "name": "order-id"},
            "expand": {"in": "query", "name": "expand[all]"},
            "region": {"in": "header", "name": "X-Region"},
            "lines": {"in": "body", "name": "order-lines"},
        },
    )
    assert request.method == "PUT"
    assert request.url.raw_path == b"/shops/a%20b/orders/7.json?v=1&expand%5Ball%5D=true"
    assert request.headers["x-region"] == "north"
    assert server.bodies() == [{"note": None, "order-lines": [{"sku": "x"}]}]


@pytest.mark.parametrize(
    ("method", "args", "path", "content"),
    [
        ("GET", {"id": 1, "q": "x"}, b"/x/1?q=x", b""),
        ("DELETE", {"id": 1, "q": "x"}, b"/x/1?q=x", b""),
        ("POST", {"id": 1, "q": "x"}, b"/x/1", b'{"q":"x"}'),
        ("PATCH", {"id": 1}, b"/x/1", b"{}"),
    ],
)
def test_a_placeholder_takes_the_argument_of_its_name(
    api: Api, server: ToolServer, method: str, args: dict[str, Any], path: bytes, content: bytes
) -> None:
    request = sent(api, server, args, endpoint=f"{BASE}/x/{{id}}", http_method=method, input_schema=schema("id", q={}))
    assert (request.url.raw_path, request.content) == (path, content)


def test_a_body_is_sent_only_if_an_argument_may_be_in_it(api: Api, server: ToolServer) -> None:
    request = sent(api, server, {"id": "a"}, endpoint=f"{BASE}/x/{{id}}", input_schema=schema("id"))
    assert (request.method, request.content) == ("POST", b"")
    assert "content-type" not in request.headers


def test_a_delete_may_have_a_body(api: Api, server: ToolServer) -> None:
    places = {"why": {"in": "body"}}
    sent(api, server, {"why": "old"}, http_method="DELETE", input_schema=schema("why"), argument_places=places)
    assert server.bodies() == [{"why": "old"}]


@pytest.mark.parametrize(
    ("place", "value", "query"),
    [
        ({"in": "query"}, ["a", "b&c"], b"q=a&q=b%26c"),
        ({"in": "query", "explode": False}, ["a", "b&c"], b"q=a%2Cb%26c"),
        ({"in": "query"}, [], b""),
        ({"in": "query"}, None, b""),
        ({"in": "query"}, {"a": [1]}, b"q=%7B%22a%22%3A%20%5B1%5D%7D"),
        ({"in": "query"}, 1.5, b"q=1.5"),
        ({"in": "query"}, "\u00e4\r\n", b"q=%C3%A4%0D%0A"),
        (None, ["a"], b"q=%5B%22a%22%5D"),
    ],
)
def test_values_in_the_query(
    api: Api, server: ToolServer, place: dict[str, Any] | None, value: Any, query: bytes
) -> None:
    places = {"q": place} if place else {}
    request = sent(api, server, {"q": value}, http_method="GET", input_schema=schema("q"), argument_places=places)
    assert request.url.query == query


# What would change which thing is named, however a server reads it.
@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "../../admin",
        "..\\x",
        "\\",
        "a\nb",
        "a\u0000b",
        None,
        {},
        {"a": 1},
        [],
        [".."],
        ["a/b"],
    ],
)
def test_values_that_cannot_stand_in_a_path(api: Api, server: ToolServer, value: Any) -> None:
    error = failure(api, server, {"id": value}, endpoint=f"{BASE}/users/{{id}}/orders", input_schema=schema("id"))
    assert error == "invalid_arguments: id: cannot be part of a path."


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a?b#c", b"/x/a%3Fb%23c"),
        ("%2e%2e%2f", b"/x/%252e%252e%252f"),
        ("@evil.example", b"/x/%40evil.example"),
        ("a..b", b"/x/a..b"),
        ("...", b"/x/..."),
        ("{id}", b"/x/%7Bid%7D"),
        ("検索", b"/x/%E6%A4%9C%E7%B4%A2"),
        ([1, "b"], b"/x/1,b"),
        (False, b"/x/false"),
        (0, b"/x/0"),
    ],
)
def test_values_in_a_path_are_encoded(api: Api, server: ToolServer, value: Any, path: bytes) -> None:
    request = sent(api, server, {"id": value}, endpoint=f"{BASE}/x/{{id}}", input_schema=schema("id"))
    assert (request.url.host, request.url.raw_path) == ("tools.example", path)


@pytest.mark.parametrize("args", [{"a": "", "b": "."}, {"a": "."}, {"b": "x"}])
def test_parts_of_one_segment(api: Api, server: ToolServer, args: dict[str, Any]) -> None:
    """Together they must not name the folder above either."""
    error = failure(api, server, args, endpoint=f"{BASE}/x/{{a}}{{b}}", input_schema=schema("a", "b"))
    assert error.startswith("invalid_arguments: ")


@pytest.mark.parametrize(("template", "args"), [("{a}{b}", {"a": "..", "b": "x"}), (".{a}", {"a": "."})])
def test_dots_of_one_argument(api: Api, server: ToolServer, template: str, args: dict[str, Any]) -> None:
    error = failure(api, server, args, endpoint=f"{BASE}/x/{template}/y", input_schema=schema(*args))
    assert error.startswith("invalid_arguments: ")


def test_an_argument_nobody_declared_fills_no_placeholder(api: Api, server: ToolServer) -> None:
    request = sent(
        api,
        server,
        {"order_id": 7, "orderId": "../8"},
        endpoint=f"{BASE}/orders/{{orderId}}",
        http_method="GET",
        input_schema=schema("order_id"),
        argument_places={"order_id": {"in": "path", "name": "orderId"}},
    )
    assert request.url.raw_path == b"/orders/7?orderId=..%2F8"


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "\u00e4", "a\u0000", " a"])
def test_values_that_cannot_stand_in_a_header(api: Api, server: ToolServer, value: str) -> None:
    places = {"region": {"in": "header", "name": "X-Region"}}
    error = failure(api, server, {"region": value}, input_schema=schema("region"), argument_places=places)
    assert error.startswith("request_invalid: ")


FORBIDDEN = [
    "Host", "Authorization", "Cookie", "Idempotency-Key", "X-Trace-Id", "User-Agent", "Accept", "Content-Type",
    "Content-Length", "Transfer-Encoding", "Connection", "Expect", "TE", "Upgrade", "Proxy-Authorization", "Forwarded",
    "X-Forwarded-For", "X-Amzn-Trace-Id", "X-Amz-Security-Token", "Sec-Fetch-Site", "X-Token", "x-TOKEN", "a b", "ä",
    "X:Y", "X\r\nY", "x" * 65,
]  # fmt: skip


@pytest.mark.parametrize("header", [*FORBIDDEN, *(name.upper() for name in FORBIDDEN[:6])])
def test_headers_that_no_argument_sets(api: Api, header: str) -> None:
    """X-Token carries the tool's secret here."""
    answer = make(
        api,
        auth_type="api_key",
        auth_config={"header": "X-Token"},
        input_schema=schema("a"),
        argument_places={"a": {"in": "header", "name": header}},
    )
    assert (answer.status, answer.json["errors"][0]["loc"]) == (422, ["body", "argument_places"])


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"argument_places": {"b": {"in": "query"}}}, "no property"),
        ({"input_schema": {}, "argument_places": {"a": {"in": "query"}}}, "no property"),
        ({"argument_places": {"a": {"in": "path"}}}, "no placeholder for 'a'"),
        ({"endpoint": f"{BASE}/{{b}}"}, "no argument fills the placeholder 'b'"),
        ({"endpoint": f"{BASE}/{{a}}", "argument_places": {"a": {"in": "query"}}}, "no argument fills"),
        ({"endpoint": f"{BASE}/{{a}}", "input_schema": {"properties": {"a": {}}}}, "must require it"),
        ({"endpoint": f"{BASE}/{{a}}", "input_schema": {}}, "no argument fills"),
        ({"http_method": "GET", "argument_places": {"a": {"in": "body"}}}, "body of a GET"),
        (
            {
                "input_schema": schema("a", "b"),
                "argument_places": {"a": {"in": "header", "name": "X-A"}, "b": {"in": "header", "name": "x-a"}},
            },
            "two arguments go to the header",
        ),
        (
            {"input_schema": schema("a", "b"), "argument_places": {"a": {"in": "body", "name": "b"}}},
            "two arguments go to the body",
        ),
    ],
)
def test_places_that_are_refused(api: Api, fields: dict[str, Any], said: str) -> None:
    answer = make(api, **{"input_schema": schema("a"), **fields})
    assert answer.status == 422
    assert answer.json["errors"][0]["loc"] == ["body", "argument_places"]
    assert said in answer.json["errors"][0]["msg"]


@pytest.mark.parametrize(
    "places",
    [
        [],
        {"a": "query"},
        {"a": {}},
        {"a": {"in": "cookie"}},
        {"a": {"place": "query"}},
        {"a": {"in": "query", "name": ""}},
        {"a": {"in": "query", "name": "x" * 201}},
        {"a": {"in": "query", "style": "form"}},
        {f"a{n}": {"in": "query"} for n in range(101)},
    ],
)
def test_places_of_no_form(api: Api, places: Any) -> None:
    answer = make(api, input_schema=schema("a"), argument_places=places)
    assert answer.status == 422
    assert answer.json["errors"][0]["loc"][:2] == ["body", "argument_places"]


def test_a_host_has_no_placeholder(api: Api) -> None:
    for endpoint in ("https://{a}/", "https://{a}.example/", "{a}", "https://tools.example:{a}/"):
        answer = make(api, endpoint=endpoint, input_schema=schema("a"))
        assert answer.json["errors"][0]["loc"] == ["body", "endpoint"]


def test_places_are_checked_in_every_update(api: Api) -> None:
    runs.webhook(api, endpoint=f"{BASE}/{{a}}", input_schema=schema("a"))
    changes: list[dict[str, Any]] = [
        {"input_schema": schema("b")},
        {"endpoint": f"{BASE}/{{b}}"},
        {"argument_places": {"b": {"in": "query"}}},
    ]
    for change in changes:
        assert api.patch("/tools/lookup", change).status == 422
    moved: dict[str, Any] = {"endpoint": f"{BASE}/{{b}}", "argument_places": {"a": {"in": "path", "name": "b"}}}
    assert api.patch("/tools/lookup", moved).json["argument_places"]["a"]["name"] == "b"
    assert api.put("/tools/lookup", {"name": "lookup", "endpoint": f"{BASE}/{{a}}"}).status == 422
    assert api.put("/tools/lookup", {"name": "lookup", "endpoint": f"{BASE}/"}).json["argument_places"] == {}


def test_a_run_keeps_the_places_that_it_began_with(
    api: Api, machine: Any, server: ToolServer, setting: Callable[[str, str], None]
) -> None:
    runs.webhook(api, endpoint=f"{BASE}/{{a}}", input_schema=schema("a"))
    machine.waits = False
    api.post("/tools/lookup/execute", {"args": {"a": "1"}})
    api.patch("/tools/lookup", {"endpoint": f"{BASE}/elsewhere"})
    machine.execute(machine.pointers[0])
    assert [request.url.path for request in server.requests] == ["/1"]
