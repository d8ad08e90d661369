"""Whatever a client sends: a clear 4xx in our error body, at once, and nothing half written."""

from typing import Any

import httpx
import pytest

LONG = "x" * 201
DEEP = "[" * 100_000
SEVEN_MB = '{"name": "big", "description": "' + "x" * 7_000_000 + '"}'
ELEVEN_MB = '{"name": "big", "description": "' + "x" * 11_000_000 + '"}'

BODIES: list[tuple[str, str | bytes, set[int]]] = [
    ("empty name", '{"name": ""}', {422}),
    ("blank name", '{"name": "   "}', {422}),
    ("name of 201 characters", f'{{"name": "{LONG}"}}', {422}),
    ("control characters in a name", '{"name": "a\\u0000b"}', {422}),
    ("half a character", '{"name": "\\ud800"}', {400, 422}),
    ("name of a wrong type", '{"name": 5}', {422}),
    ("name of an id's form", '{"name": "01a1fe85-b3a6-7915-b2f9-3c5fcebb334a"}', {422}),
    ("unknown field", '{"name": "a", "colour": "red"}', {422}),
    ("no JSON", '{"name": ', {400}),
    ("not a number", '{"name": "a", "version": NaN}', {400}),
    ("a number of 5,000 digits", f'{{"name": "a", "version": {"9" * 5_000}}}', {400, 422}),
    ("nested 100,000 deep", DEEP, {400}),
    ("null", "null", {422}),
    ("a list", "[]", {422}),
    ("a text", '"name"', {422}),
    ("nothing", "", {422}),
    ("bytes that are no UTF-8", b'{"name": "\xff\xfe"}', {400, 422}),
    ("7 MB", SEVEN_MB, {413}),
    ("11 MB", ELEVEN_MB, {413}),
]


def refused(answer: httpx.Response, statuses: set[int]) -> None:
    assert answer.status_code in statuses, answer.text[:500]
    body = answer.json()
    assert set(body) - {"errors"} == {"detail", "code", "trace_id"}
    assert ("errors" in body) == (body["code"] == "validation_error" or "errors" in body)
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(("body", "statuses"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES])
@pytest.mark.parametrize("path", ["/agents", "/tools"])
def test_bad_bodies(api: httpx.Client, path: str, body: str | bytes, statuses: set[int]) -> None:
    before = api.get(path, params={"limit": 100}).text
    refused(api.post(path, content=body, headers={"Content-Type": "application/json"}), statuses)
    assert api.get(path, params={"limit": 100}).text == before


AGENT_FIELDS: list[dict[str, Any]] = [
    {"model": "nowhere:gpt"},
    {"model": ""},
    {"llm_params": {"temperature": 9}},
    {"llm_params": {"extra_headers": {"Authorization": "x"}}},
    {"status": "live"},
    {"kind": "mcp"},
    {"tags": ["x"] * 21},
    {"tool_ids": "all"},
    {"tool_ids": ["x"] * 41},
    {"version": 0},
    {"tenant_id": "tenant_b"},
    {"id": "mine"},
]


@pytest.mark.parametrize("fields", AGENT_FIELDS, ids=str)
def test_bad_fields_of_an_agent(api: httpx.Client, fields: dict[str, Any]) -> None:
    refused(api.post("/agents", json={"name": "never made"} | fields), {422})
    assert api.get("/agents/never made").status_code == 404


TOOL_FIELDS: list[dict[str, Any]] = [
    {"endpoint": "ftp://example.com/"},
    {"endpoint": "http://user:password@example.com/"},
    {"endpoint": "file:///etc/passwd"},
    {"endpoint": "http://"},
    {"endpoint": "http://2130706433/"},
    {"execution_type": "http_webhook"},
    {"execution_type": "internal", "endpoint": "https://example.com/"},
    {"auth_type": "kerberos"},
    {"auth_config": {"header": "Host"}, "endpoint": "https://example.com/"},
    {"http_method": "TRACE"},
    {"input_schema": {"type": "nonsense"}},
    {"input_schema": {"type": "array"}},
    {"input_schema": {"properties": {"not an identifier": {}}}},
    {"input_schema": {"properties": {"a": {"$ref": "http://169.254.169.254/schema"}}}},
    {"input_schema": {"description": "x" * 17_000}},
]


@pytest.mark.parametrize("fields", TOOL_FIELDS, ids=lambda fields: str(fields)[:60])
def test_bad_fields_of_a_tool(api: httpx.Client, fields: dict[str, Any]) -> None:
    refused(api.post("/tools", json={"name": "never made"} | fields), {422})
    assert api.get("/tools/never made").status_code == 404


@pytest.mark.parametrize("name", ["categories", "types", "import"])
def test_words_of_the_routes_are_no_names_of_tools(api: httpx.Client, name: str) -> None:
    refused(api.post("/tools", json={"name": name}), {422})


QUERIES = [
    ("limit=0", {422}),
    ("limit=101", {422}),
    ("limit=many", {422}),
    ("offset=-1", {422}),
    ("offset=10001", {422}),
    ("page=0", {422}),
    ("page=10000&page_size=100", {422}),
    ("skip=99999999999999999999999", {422}),
    ("cursor=", {400}),
    ("cursor=never", {400}),
    ("cursor=%00", {400}),
    ("cursor=" + "A" * 5_000, {400}),
    ("cursor=Li4vLi4vVEVOQU5UI3RlbmFudF9i", {200}),  # a well-formed cursor to "../../TENANT#tenant_b" leads nowhere
]


@pytest.mark.parametrize(("query", "statuses"), QUERIES, ids=[row[0][:40] for row in QUERIES])
@pytest.mark.parametrize("path", ["/agents", "/tools", "/runs", "/api-keys"])
def test_bad_paging(api: httpx.Client, path: str, query: str, statuses: set[int]) -> None:
    answer = api.get(f"{path}?{query}")
    assert answer.status_code in statuses, answer.text
    assert answer.status_code == 200 or answer.json()["code"] in {"validation_error", "invalid_cursor", "unprocessable"}


PATHS = [
    "/agents/" + "x" * 3_000,
    "/agents/%00",
    "/agents/%2e%2e%2f",
    "/agents/a%23b",
    "/agents/%F0%9F%92%A9",
    "/agents/%ff",
    "/tools/01a1fe85-b3a6-7915-b2f9-3c5fcebb334a",
    "/runs/" + "x" * 3_000,
    "/runs/none/events",
    "/agents/none/tools",
    "/agents/none/tools/none",
    "/nowhere",
    "/agents/a/b/c/d",
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_what_does_not_exist_is_404(api: httpx.Client, path: str) -> None:
    refused(api.get(path), {404})


RUNS: list[tuple[dict[str, Any], set[int]]] = [
    ({}, {422}),
    ({"agent_id": "none"}, {422}),
    ({"agent_id": "none", "input_message": "go"}, {404}),
    ({"agent_id": "", "input_message": "go"}, {422}),
    ({"agent_id": 7, "input_message": "go"}, {422}),
    ({"agent_id": "none", "input_message": ""}, {422}),
    ({"agent_id": "none", "input_message": "x" * 100_001}, {422}),
    ({"agent_id": "none", "input_message": "go", "session_id": "a b"}, {422}),
    ({"agent_id": "none", "input_message": "go", "limits": {"max_steps": 0}}, {422}),
    ({"agent_id": "none", "input_message": "go", "limits": {"max_cost": 1}}, {422}),
    ({"agent_id": "none", "input_message": "go", "metadata": {"x": "y" * 5_000}}, {422}),
]


@pytest.mark.parametrize(("body", "statuses"), RUNS, ids=lambda value: str(value)[:50])
def test_bad_runs(api: httpx.Client, body: dict[str, Any], statuses: set[int]) -> None:
    before = api.get("/runs").text
    refused(api.post("/runs", json=body), statuses)
    assert api.get("/runs").text == before


@pytest.mark.parametrize("header", ["", "x" * 256, "a\tb"])
def test_bad_idempotency_keys(api: httpx.Client, header: str) -> None:
    refused(api.post("/agents", json={"name": "never made"}, headers={"Idempotency-Key": header}), {400})


@pytest.mark.parametrize("header", ["one", "-1", "1, 2", '"x"'])
def test_bad_versions(api: httpx.Client, header: str) -> None:
    refused(api.patch("/agents/none", json={"role": "x"}, headers={"If-Match": header}), {400})


@pytest.mark.parametrize("key", ["", "x", "ap_local_x", "ap_local_" + "A" * 16 + "_" + "B" * 32 + "_AAAAAA", "é" * 30])
def test_bad_keys(platform: Any, key: str) -> None:
    with httpx.Client(base_url=platform.url, timeout=30) as nobody:
        refused(nobody.get("/agents", headers={b"X-API-Key": key.encode()}), {401})


def test_scopes_cannot_be_widened(api: httpx.Client, platform: Any) -> None:
    refused(api.post("/api-keys", json={"scopes": ["everything"]}), {422})
    narrow = api.post("/api-keys", json={"scopes": ["api-keys:write", "agents:read"]}).json()["key"]
    with httpx.Client(base_url=platform.url, headers={"X-API-Key": narrow}, timeout=30) as caller:
        refused(caller.post("/api-keys", json={"scopes": ["agents:write"]}), {403})
        refused(caller.post("/api-keys", json={"scopes": ["admin"]}), {403})
        assert caller.post("/api-keys", json={}).json()["scopes"] == ["agents:read"]
