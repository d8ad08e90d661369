"""Tools from OpenAPI documents: what becomes of the operations of a good one, and how bad ones are refused."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.errors import ConditionFailed
from shared.store.table import TenantStore
from tests.unit.support import runs
from tests.unit.support.gateway import Api
from tests.unit.support.model import ScriptedModel, call
from tests.unit.support.petstore import PARAMETER, body, document, imported, one, refused
from tests.unit.support.server import ToolServer

pytestmark = pytest.mark.covers("POST /tools/import")


def test_a_real_document(api: Api) -> None:
    answer = api.post("/tools/import", {"document": document(), "category": "shop", "tags": ["imported"]})
    assert (answer.status, answer.headers["location"]) == (201, "/tools")
    made = {tool["name"]: tool for tool in answer.json["tools"]}
    assert list(made) == ["listPets", "createPet", "getPet", "updatePet", "delete_pets_petId"]
    assert answer.json["skipped"] == [{"operation": "POST /pets/{petId}/photo", "reason": "its body is not JSON"}]
    assert {tool["id"] for tool in made.values()} == {tool["id"] for tool in api.get("/tools").json}
    for tool in made.values():
        assert tool == api.get(f"/tools/{tool['id']}").json
        assert (tool["execution_type"], tool["category"], tool["status"]) == ("http_webhook", "shop", "active")
        assert tool["tags"][0] == "imported"
        Draft202012Validator.check_schema(tool["input_schema"])
    assert made["listPets"]["description"] == "List the pets.\n\nNewest first."
    assert [tool["http_method"] for tool in made.values()] == ["GET", "POST", "GET", "PUT", "DELETE"]
    assert [tool["idempotent"] for tool in made.values()] == [True, False, True, False, False]
    assert made["updatePet"]["endpoint"] == "https://eu.petstore.example/v1/pets/{petId}"
    assert made["updatePet"]["tags"] == ["imported", "pets", "write"]


def test_parameters_become_arguments_with_places(api: Api) -> None:
    tool = imported(api)["listPets"]
    assert tool["input_schema"] == {
        "type": "object",
        "properties": {
            "limit": {"description": "At most.", "type": "integer"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "status": {"type": "array", "items": {"type": "string"}},
            "X_Region": {"type": ["string", "null"]},
        },
        "additionalProperties": False,
    }
    assert tool["argument_places"] == {
        "limit": {"in": "query", "name": None, "explode": True},
        "tags": {"in": "query", "name": None, "explode": True},
        "status": {"in": "query", "name": None, "explode": False},
        "X_Region": {"in": "header", "name": "X-Region", "explode": True},
    }


def test_a_body_is_merged_with_the_parameters(api: Api) -> None:
    tool = imported(api)["updatePet"]
    schema = tool["input_schema"]
    assert list(schema["properties"]) == [
        "petId", "dry_run", "name", "parent", "weight", "pet_type", "body_petId", "children",
    ]  # fmt: skip
    assert schema["required"] == ["petId", "name"]
    assert schema["properties"]["parent"] == {"$ref": "#/$defs/Pet"}
    assert schema["properties"]["weight"] == {"type": "number", "exclusiveMinimum": 0}
    assert schema["properties"]["pet_type"] == {"type": ["string", "null"], "enum": ["cat", "dog", None]}
    # A schema that names itself stays a reference.
    assert schema["$defs"]["Pet"]["allOf"][1]["properties"]["children"]["items"] == {"$ref": "#/$defs/Pet"}
    places = tool["argument_places"]
    assert places["petId"]["in"] == "path"
    assert (places["dry_run"]["in"], places["dry_run"]["name"]) == ("query", "dry-run")
    assert (places["body_petId"]["in"], places["body_petId"]["name"]) == ("body", "petId")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"include_operations": ["getPet", "DELETE /pets/{petId}"]}, ["getPet", "delete_pets_petId"]),
        ({"exclude_operations": ["getPet", "GET /pets", "POST /pets/{petId}/photo"]}, ["createPet", "updatePet", 2]),
        ({"include_tags": ["write"], "exclude_operations": ["updatePet"]}, ["createPet", "delete_pets_petId"]),
        ({"include_operations": ["getPet"], "prefix": "pets."}, ["pets.getPet"]),
        ({"include_operations": ["getPet"], "base_url": "http://tools.example:8080/x/"}, ["getPet"]),
    ],
)
def test_options(api: Api, options: dict[str, Any], found: list[Any]) -> None:
    made = imported(api, **options)
    if found[-1] == 2:
        found[-1] = "delete_pets_petId"
    assert list(made) == found
    if "base_url" in options:
        assert made["getPet"]["endpoint"] == "http://tools.example:8080/x/pets/{petId}"


def test_auth_is_given_to_every_tool(api: Api) -> None:
    config = {"token_url": "https://login.example/token", "client_id": "pets"}
    for tool in imported(api, auth_type="oauth2", auth_config=config).values():
        assert (tool["auth_type"], tool["auth_config"]["client_id"]) == ("oauth2", "pets")


@pytest.mark.usefixtures("machine")
def test_an_agent_calls_an_imported_tool(api: Api, model: ScriptedModel, server: ToolServer) -> None:
    made = imported(api)
    runs.agent(api, *(tool["id"] for tool in made.values()))
    model.asks(
        call("updatePet", {"petId": 7, "dry_run": True, "name": "Rex", "body_petId": 8}, id="c1"),
        call("listPets", {"limit": 3, "tags": ["a", "b&c"], "status": ["x", "y"], "X_Region": "north"}, id="c2"),
        call("getPet", {"petId": "seven"}, id="c3"),
    ).says("done")
    run = runs.start(api)
    assert [called["status"] for called in run["tools_called"]] == ["succeeded", "succeeded", "failed"]
    update, listed = server.requests
    assert (update.method, str(update.url)) == ("PUT", "https://eu.petstore.example/v1/pets/7?dry-run=true")
    assert json.loads(update.content) == {"name": "Rex", "petId": 8}
    assert str(listed.url).partition("?")[2] == "limit=3&tags=a&tags=b%26c&status=x%2Cy"
    assert (listed.headers["x-region"], listed.content) == ("north", b"")


def test_one_name_that_is_taken_stops_all(api: Api) -> None:
    api.make("/tools", name="getPet")
    answer = api.post("/tools/import", {"document": document()})
    assert (answer.status, answer.code) == (409, "name_taken")
    assert "getPet" in answer.json["detail"]
    assert len(api.get("/tools").json) == 1
    assert len(imported(api, prefix="pets_")) == 5


def test_nothing_reaches_another_tenant(api: Api, other: Api) -> None:
    imported(api)
    assert other.get("/tools").json == []
    assert len(imported(other)) == 5
    assert api.as_(scopes="tools:read runs:execute").post("/tools/import", {"document": document()}).status == 403


def test_the_most_operations_that_fit(api: Api) -> None:
    paths = {f"/x{n}": {"get": {"operationId": f"op {n}"}} for n in range(51)}
    spec = one({}, paths=paths)
    assert "at most 50 of the 51" in refused(api.post("/tools/import", {"document": spec}))
    assert api.get("/tools").json == []
    assert len(imported(api, spec, exclude_operations=["op 3"])) == 50


def test_a_request_that_comes_again_makes_nothing_twice(
    api: Api, faults: Any, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first try wrote the tools and died: the second finds them by the id that was reserved for it."""
    headers = {"Idempotency-Key": "import"}

    def killed() -> None:
        raise KeyboardInterrupt

    faults.at(1, "after", killed)
    with pytest.raises(KeyboardInterrupt):
        api.post("/tools/import", {"document": document()}, headers=headers)
    made = {tool["name"]: tool["id"] for tool in api.get("/tools").json}
    travel(40)
    again = api.post("/tools/import", {"document": document()}, headers=headers)
    assert again.status == 201
    assert {tool["name"]: tool["id"] for tool in again.json["tools"]} == made
    assert len(api.get("/tools").json) == 5


def test_a_race_for_a_name_is_a_conflict(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: Any) -> None:
        raise ConditionFailed((3,))

    monkeypatch.setattr(TenantStore, "write", lost)
    answer = api.post("/tools/import", {"document": document()})
    assert (answer.status, answer.code) == (409, "name_taken")
    assert "createPet" in answer.json["detail"]


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (body({"type": "array", "items": {}}), "no object with fields"),
        (body({"oneOf": [{}, {}]}), "one of several"),
        (body({"type": "object"}), "no object with fields"),
        (body(True), "no schema"),
        (body({"properties": {"": {}}}), "no name"),
        (body({"properties": {"x" * 201: {}}}), "at most 200"),
        (body({"properties": {"a": 7}}), "no object"),
        (body({"properties": {f"p{n}": {"enum": ["x" * 500]} for n in range(40)}}), "larger than"),
        (body({"properties": {f"p{n}": {} for n in range(6_000)}}), "too large"),
        ({"requestBody": {"content": {"text/xml": {}}}}, "not JSON"),
        ({"requestBody": {}}, "not JSON"),
        ({"requestBody": 7}, "not JSON"),
        ({"parameters": [{"in": "query"}]}, "no name"),
        ({"parameters": [7]}, "no name"),
        ({"parameters": [PARAMETER | {"in": "cookie"}]}, "goes to the cookie"),
        ({"parameters": [PARAMETER | {"style": "deepObject"}]}, "style"),
        ({"parameters": [PARAMETER | {"content": {}}]}, "media type"),
        ({"parameters": [PARAMETER | {"in": "header", "name": "Idempotency-Key"}]}, "cannot set"),
        ({"parameters": [PARAMETER | {"in": "header", "name": "X-Forwarded-For"}]}, "cannot set"),
        ({"parameters": [PARAMETER | {"in": "header", "name": "a b"}]}, "cannot set"),
        ({"parameters": [PARAMETER | {"in": "path"}]}, "no placeholder"),
        ({"parameters": [PARAMETER | {"schema": []}]}, "no object"),
    ],
)
def test_operations_that_cannot_become_tools(api: Api, operation: dict[str, Any], reason: str) -> None:
    """They are skipped, with the reason; the others of the document are made."""
    assert reason in refused(api.post("/tools/import", {"document": one(operation)}))
    spec = one(operation)
    spec["paths"]["/good"] = {"get": {"operationId": "good"}}
    answer = api.post("/tools/import", {"document": spec})
    assert [tool["name"] for tool in answer.json["tools"]] == ["good"]
    assert [each["operation"] for each in answer.json["skipped"]] == ["POST /x"]
    assert reason in answer.json["skipped"][0]["reason"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/x/{id}", "no argument fills"),
        ("/x?y=1", "query"),
        ("/x#y", "fragment"),
        ("/a b", "endpoint"),
        ("/\\x", "endpoint"),
        ("/" + "x" * 2_000, "endpoint"),
    ],
)
def test_paths_that_cannot_be_called(api: Api, path: str, reason: str) -> None:
    assert reason in refused(api.post("/tools/import", {"document": one({"operationId": "op"}, path)}))


@pytest.mark.parametrize(
    "servers",
    [None, [], [{}], [{"url": "/v1"}], [{"url": "//x.example"}], [{"url": "file:///etc"}], [7], "https://x.example"],
)
def test_a_document_without_an_absolute_server_needs_a_base_url(api: Api, servers: Any) -> None:
    spec = one({"operationId": "op"}, servers=servers)
    assert "no absolute server" in refused(api.post("/tools/import", {"document": spec}))
    assert imported(api, spec, base_url="https://y.example/v1/")["op"]["endpoint"] == "https://y.example/v1/x"


@pytest.mark.parametrize(
    "server", ["https://user:pass@x.example", "https://x.example:22", "https://{host}/", "https://x.example/?a=1"]
)
def test_servers_that_no_tool_may_have(api: Api, server: str) -> None:
    answer = api.post("/tools/import", {"document": one({"operationId": "op"}, servers=[{"url": server}])})
    refused(answer)
    assert api.get("/tools").json == []


@pytest.mark.parametrize(
    ("names", "made"),
    [
        (["a", "a"], ["a", "a_2"]),
        (["types", "import"], ["types_get", "import_get"]),
        (["a\nb", "\u202eevil"], ["get_x0", "get_x1"]),
        ([7, None], ["get_x0", "get_x1"]),
        (["x" * 500, "  "], ["get_x0", "get_x1"]),
        (["01900000-0000-7000-8000-000000000000", "検索"], ["01900000-0000-7000-8000-000000000000_get", "検索"]),
        (["../../etc/passwd", "'; DROP TABLE"], ["../../etc/passwd", "'; DROP TABLE"]),
    ],
)
def test_weird_names(api: Api, names: list[Any], made: list[str]) -> None:
    paths = {f"/x{n}": {"get": {"operationId": name}} for n, name in enumerate(names)}
    assert list(imported(api, one({}, paths=paths))) == made


def test_weird_fields_become_identifiers(api: Api) -> None:
    fields = ["a-b", "a_b", "1st", "class", "ü", "a.b[]", "\u0000", "x" * 200]
    tool = imported(api, one(body({"properties": {name: {"type": "string"} for name in fields}})))["op"]
    assert all(name.isidentifier() for name in tool["input_schema"]["properties"])
    sent = {place["name"] or argument for argument, place in tool["argument_places"].items()}
    assert sent == {*fields[:-1], "x" * 200}
