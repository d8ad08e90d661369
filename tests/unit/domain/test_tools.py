"""Tools over the API: what may be saved, under which name, and what becomes of it."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.support import runs
from tests.unit.support.gateway import Answer, Api

SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}


def refused(answer: Answer) -> str:
    """The place of the first problem, in dots."""
    assert (answer.status, answer.json["detail"] != "") == (422, True)
    return ".".join(str(part) for part in answer.json["errors"][0]["loc"])


@pytest.mark.covers("POST /tools")
def test_defaults(api: Api) -> None:
    answer = api.post("/tools", {"name": "echo"})
    assert answer.status == 201
    tool = answer.json
    assert answer.headers["location"] == f"/tools/{tool['id']}"
    assert tool == {
        "id": tool["id"],
        "tenant_id": "tenant_a",
        "name": "echo",
        "description": "",
        "input_schema": {},
        "execution_type": "internal",
        "endpoint": None,
        "http_method": "POST",
        "argument_places": {},
        "auth_type": "none",
        "auth_config": {"header": None, "token_url": None, "client_id": None, "scope": None, "audience": None},
        "idempotent": False,
        "category": None,
        "tags": [],
        "status": "active",
        "version": 1,
        "created_at": tool["created_at"],
        "updated_at": tool["created_at"],
    }
    assert tool["created_at"].endswith("Z")
    assert api.get(f"/tools/{tool['id']}").json == api.get("/tools/echo").json == tool


@pytest.mark.covers("POST /tools")
def test_everything_set(api: Api) -> None:
    given = {
        "name": "lookup",
        "description": "Finds a product.",
        "input_schema": SCHEMA,
        "execution_type": "http_webhook",
        "endpoint": "https://tools.example:8443/x?y=1",
        "http_method": "PUT",
        "argument_places": {"sku": {"in": "header", "name": "X-Sku", "explode": True}},
        "auth_type": "oauth2",
        "auth_config": {
            "header": "X-Key",
            "token_url": "https://login.example/token",
            "client_id": "shop",
            "scope": "read write",
            "audience": "https://tools.example",
        },
        "idempotent": True,
        "category": "shop",
        "tags": ["a", "b"],
        "status": "deprecated",
        "version": 7,
    }
    assert api.make("/tools", **given) == api.get("/tools/lookup").json
    assert api.get("/tools/lookup").json | given == api.get("/tools/lookup").json


def test_endpoint_makes_a_webhook(api: Api) -> None:
    assert api.make("/tools", name="x", endpoint=runs.ENDPOINT)["execution_type"] == "http_webhook"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "  "}, "body.name"),
        ({"name": "x" * 201}, "body.name"),
        ({"name": "a\nb"}, "body.name"),
        ({"name": "a\u202eb"}, "body.name"),
        ({"name": "\U0001d160" * 200}, "body.name"),
        ({"name": None}, "body.name"),
        ({"name": 7}, "body.name"),
        ({"name": "categories"}, "body.name"),
        ({"name": "types"}, "body.name"),
        ({"name": " import "}, "body.name"),
        ({"name": "01900000-0000-7000-8000-000000000000"}, "body.name"),
        ({"description": "x" * 2_001}, "body.description"),
        ({"execution_type": "http_webhook"}, "body.endpoint"),
        ({"execution_type": "internal", "endpoint": runs.ENDPOINT}, "body.endpoint"),
        ({"execution_type": "mcp"}, "body.execution_type"),
        ({"http_method": "CONNECT", "endpoint": runs.ENDPOINT}, "body.http_method"),
        ({"auth_type": "mtls"}, "body.auth_type"),
        ({"auth_type": "oauth2"}, "body.auth_config"),
        ({"auth_type": "oauth2", "auth_config": {"token_url": "https://login.example/"}}, "body.auth_config"),
        ({"auth_type": "oauth2", "auth_config": {"client_id": "shop"}}, "body.auth_config"),
        ({"auth_config": {"token_url": "ftp://login.example/"}}, "body.auth_config.token_url"),
        ({"auth_config": {"token_url": "https://user:pass@login.example/"}}, "body.auth_config.token_url"),
        ({"auth_config": {"header": "Idempotency-Key"}}, "body.auth_config"),
        ({"auth_config": {"header": "a b"}}, "body.auth_config.header"),
        ({"auth_config": {"header": "X-Key\r\nHost"}}, "body.auth_config.header"),
        ({"auth_config": {"header": "Content-Length"}}, "body.auth_config"),
        ({"auth_config": {"header": "HOST"}}, "body.auth_config"),
        ({"auth_config": {"secret": "x"}}, "body.auth_config.secret"),
        ({"idempotent": "maybe"}, "body.idempotent"),
        ({"category": ""}, "body.category"),
        ({"tags": ["x"] * 21}, "body.tags"),
        ({"tags": ["x" * 51]}, "body.tags.0"),
        ({"status": "gone"}, "body.status"),
        ({"version": 0}, "body.version"),
        ({"id": "x"}, "body.id"),
        ({"tenant_id": "tenant_b"}, "body.tenant_id"),
    ],
)
def test_fields_that_are_refused(api: Api, fields: dict[str, Any], place: str) -> None:
    assert refused(api.post("/tools", {"name": "x"} | fields)) == place
    assert api.get("/tools").json == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "tools.example",
        "ftp://tools.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://user:password@tools.example/",
        "https://tools.example\\@evil.example/",
        "https://tools.example/a b",
        "https://tools.example/\n",
        "https://tools.example:0/",
        "https://tools.example:99999/",
        "https://tools.example:x/",
        "https://[::1/",
        "https://tools.example/" + "x" * 2_000,
    ],
)
def test_endpoints_that_are_refused(api: Api, endpoint: str) -> None:
    assert refused(api.post("/tools", {"name": "x", "endpoint": endpoint})) == "body.endpoint"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": "array"},
        {"type": ["object", "null"]},
        {"properties": []},
        {"properties": {"a": 7}},
        {"required": "a"},
        {"required": ["a", "a"]},
        {"properties": {"a-b": {}}},
        {"properties": {"": {}}},
        {"properties": {"1a": {}}},
        {"properties": {"a": {"minimum": "x"}}},
        {"properties": {"a": {"$ref": "https://schemas.example/a.json"}}},
        {"properties": {"a": {"$ref": "file:///etc/passwd"}}},
        {"properties": {"a": {"$ref": "other.json#/a"}}},
        {"properties": {"a": {"$dynamicRef": "https://schemas.example/a.json"}}},
        {"allOf": [{"anyOf": [{"$ref": "//schemas.example"}]}]},
        {"properties": {"a": {"pattern": "("}}},
        {"properties": {"a": {"pattern": "(" * 5_000 + ")" * 5_000}}},
        {"properties": {"a": {"pattern": "x{99999999999999999999}"}}},
        {"patternProperties": {"(" * 5_000 + ")" * 5_000: {}}},
        {"description": "x" * 17_000},
        [],
        "object",
        None,
    ],
)
def test_schemas_that_are_refused(api: Api, schema: Any) -> None:
    assert refused(api.post("/tools", {"name": "x", "input_schema": schema})) == "body.input_schema"


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": {"café": {}, "_x1": {}}},
        {"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string", "pattern": "^[a-z]+$"}}},
        {"type": "object", "additionalProperties": False, "title": "x"},
    ],
)
def test_schemas_that_are_accepted(api: Api, schema: Any) -> None:
    assert api.make("/tools", name="x", input_schema=schema)["input_schema"] == schema


def test_names_are_unique_in_a_tenant(api: Api, other: Api) -> None:
    first = api.make("/tools", name="echo")
    again = api.post("/tools", {"name": " echo "})
    assert (again.status, again.code) == (409, "name_taken")
    assert other.make("/tools", name="echo")["id"] != first["id"]
    assert [tool["id"] for tool in api.get("/tools").json] == [first["id"]]


def test_names_that_look_alike_are_one_name(api: Api) -> None:
    """Composed and decomposed characters are the same text (NFC)."""
    api.make("/tools", name="cafe\u0301")
    assert api.post("/tools", {"name": "caf\u00e9"}).status == 409
    assert api.get("/tools/caf%C3%A9").json["name"] == "caf\u00e9"


@pytest.mark.parametrize("name", ["a b", "50%", "a%20b", "a/b", "a#b", "検索", "a?b=c", ".", "..", "a+b", "x" * 200])
@pytest.mark.covers("GET /tools/{tool_ref}")
def test_any_name_can_be_read_by_name(api: Api, name: str) -> None:
    tool = api.make("/tools", name=name)
    assert api.get(f"/tools/{quote(name, safe='')}").json == tool


@pytest.mark.parametrize(
    "ref", ["nobody", "01900000-0000-7000-8000-000000000000", "x" * 5_000, "%00", "%ED%A0%80", "%"]
)
def test_unknown_tool(api: Api, ref: str) -> None:
    for method, body in (("GET", None), ("DELETE", None), ("PUT", {"name": "x"}), ("PATCH", {"description": "x"})):
        answer = api.call(method, f"/tools/{ref}", *([body] if body else []))
        assert (answer.status, answer.code) == (404, "not_found")


def test_tool_of_another_tenant_is_unknown(api: Api, other: Api) -> None:
    tool_id = runs.internal(api)
    for ref in (tool_id, "echo"):
        assert other.get(f"/tools/{ref}").status == 404
        assert other.patch(f"/tools/{ref}", {"description": "mine"}).status == 404
        assert other.put(f"/tools/{ref}", {"name": "mine"}).status == 404
        assert other.delete(f"/tools/{ref}?force=true").status == 404
    assert other.get("/tools").json == []
    assert api.get("/tools/echo").json["version"] == 1


@pytest.mark.covers("PATCH /tools/{tool_ref}")
def test_patch_sets_what_is_given(api: Api) -> None:
    before = api.make("/tools", name="lookup", endpoint=runs.ENDPOINT, input_schema=SCHEMA, tags=["a"])
    after = api.patch("/tools/lookup", {"description": "new", "tags": []}).json
    assert after == before | {"description": "new", "tags": [], "version": 2, "updated_at": after["updated_at"]}
    assert after == api.get(f"/tools/{before['id']}").json


@pytest.mark.covers("PUT /tools/{tool_ref}")
def test_put_sets_everything(api: Api) -> None:
    before = api.make("/tools", name="lookup", endpoint=runs.ENDPOINT, input_schema=SCHEMA, tags=["a"], category="c")
    after = api.put("/tools/lookup", {"name": "echo"}).json
    assert (after["execution_type"], after["endpoint"], after["input_schema"]) == ("internal", None, {})
    assert (after["tags"], after["category"], after["version"]) == ([], None, 2)
    assert (after["id"], after["created_at"]) == (before["id"], before["created_at"])


@pytest.mark.parametrize(
    ("patch", "kind", "endpoint"),
    [
        ({"endpoint": None}, "internal", None),
        ({"endpoint": "http://a.example/"}, "http_webhook", "http://a.example/"),
        ({"endpoint": None, "execution_type": "internal"}, "internal", None),
    ],
)
def test_endpoint_decides_the_kind_in_a_patch(api: Api, patch: dict[str, Any], kind: str, endpoint: str | None) -> None:
    runs.webhook(api)
    tool = api.patch("/tools/lookup", patch).json
    assert (tool["execution_type"], tool["endpoint"]) == (kind, endpoint)


@pytest.mark.parametrize(
    ("patch", "place"),
    [
        ({"name": None}, "body.name"),
        ({"name": "types"}, "body.name"),
        ({"execution_type": "internal"}, "body.endpoint"),
        ({"endpoint": None, "execution_type": "http_webhook"}, "body.endpoint"),
        ({"input_schema": {"type": "x"}}, "body.input_schema"),
        ({"input_schema": None}, "body.input_schema"),
        ({"auth_config": {"header": "host"}}, "body.auth_config"),
        ({"version": 3}, "body.version"),
    ],
)
def test_patches_that_are_refused(api: Api, patch: dict[str, Any], place: str) -> None:
    runs.webhook(api)
    before = api.get("/tools/lookup").json
    assert refused(api.patch("/tools/lookup", patch)) == place
    assert api.get("/tools/lookup").json == before


@pytest.mark.covers("GET /tools", "PATCH /tools/{tool_ref}")
def test_renaming_frees_the_old_name(api: Api) -> None:
    tool_id = runs.internal(api)
    assert api.patch("/tools/echo", {"name": "mirror"}).status == 200
    assert api.get("/tools/echo").status == 404
    assert api.get("/tools/mirror").json["id"] == tool_id
    api.make("/tools", name="echo")
    assert api.patch("/tools/mirror", {"name": "echo"}).code == "name_taken"
    assert api.patch("/tools/mirror", {"name": "mirror"}).status == 200


@pytest.mark.covers("DELETE /tools/{tool_ref}")
def test_deleted_tool_is_gone_and_kept_for_audit(api: Api, things: Any) -> None:
    tool_id = runs.internal(api)
    assert api.delete("/tools/echo").status == 204
    for ref in (tool_id, "echo"):
        assert api.get(f"/tools/{ref}").status == 404
        assert api.delete(f"/tools/{ref}").status == 404
    assert api.get("/tools").json == []
    (kept,) = things()
    assert "deleted_at" in kept["doc"]["S"]
    assert runs.internal(api) != tool_id


@pytest.mark.covers("DELETE /tools/{tool_ref}")
def test_bound_tool_is_deleted_by_force_only(api: Api) -> None:
    tool_id = runs.internal(api)
    runs.agent(api, tool_id)
    for query in ("", "?force=false"):
        answer = api.delete(f"/tools/echo{query}")
        assert (answer.status, answer.code) == (409, "tool_in_use")
    assert api.delete("/tools/echo?force=maybe").status == 422
    assert api.delete("/tools/echo?force=true").status == 204


def test_tool_is_free_once_it_is_unbound(api: Api) -> None:
    tool_id = runs.internal(api)
    runs.agent(api, tool_id)
    api.delete(f"/agents/support/tools/{tool_id}")
    assert api.delete("/tools/echo").status == 204


def test_tool_is_free_once_its_agent_is_gone(api: Api) -> None:
    runs.agent(api, runs.internal(api))
    api.delete("/agents/support")
    assert api.delete("/tools/echo").status == 204
