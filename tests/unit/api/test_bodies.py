"""Every way in which a body can be wrong."""

import json
from typing import Any

import pytest

from tests.unit.support.gateway import Api, routes

BODIED = [route for route in routes() if route.method in {"POST", "PUT", "PATCH"}]


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return '{"name": ' + opening * levels + closing * levels + "}"


@pytest.mark.parametrize(
    "raw",
    [
        "{",
        "}",
        '{"name": "x"',
        '{"name": "x",}',
        "{'name': 'x'}",
        "name=x",
        "<name>x</name>",
        '{"name": "x"} {}',
        '{"name": NaN}',
        '{"name": Infinity}',
        '{"name": -Infinity}',
        '{"name": 1e999}',
        '{"name": ' + "9" * 5_000 + "}",
        "[" * 100_000,
        '{"a":' * 100_000,
        nested(41),
        nested(41, '{"a":[', "]}"),
        '{"name": "\\ud800"}',
        '{"name": "\\uDC00"}',
        '{"\\ud800": "x"}',
        '{"name": "\ufffd"}',
        "\x00",
        '{"name": "\x00"}',
        "\ufeff{}",
    ],
)
def test_not_json(api: Api, raw: str) -> None:
    answer = api.post("/agents", raw=raw)
    assert (answer.status, answer.code) == (400, "invalid_json")
    assert api.get("/agents").json == []


@pytest.mark.parametrize("route", BODIED, ids=lambda route: f"{route.method} {route.path}")
def test_not_json_anywhere(api: Api, route: Any) -> None:
    path = route.path.replace("{", "").replace("}", "")
    caller = api.as_(scopes="admin tenants:write")
    assert caller.call(route.method, path, raw="{").code == "invalid_json"


@pytest.mark.parametrize("raw", ["null", "[]", "[{}]", '"x"', "7", "true", "0.5", '[{"name": "x"}]'])
def test_json_that_is_no_object(api: Api, raw: str) -> None:
    for answer in (api.post("/agents", raw=raw), api.put("/agents/x", raw=raw), api.patch("/agents/x", raw=raw)):
        assert (answer.status, answer.code) == (422, "validation_error")


@pytest.mark.parametrize("raw", ["", None])
def test_no_body(api: Api, raw: str | None) -> None:
    answer = api.post("/agents", raw=raw)
    assert (answer.status, answer.code) == (422, "validation_error")


def test_deep_but_not_too_deep(api: Api) -> None:
    assert api.post("/agents", raw=nested(39)).status == 422


def test_whole_characters_of_other_planes_are_fine(api: Api) -> None:
    assert api.post("/agents", raw='{"name": "\\ud83c\\udf75"}').json["name"] == "\U0001f375"
    assert api.post("/agents", raw='{"name": "\\\\ud800"}').json["name"] == "\\ud800"


def test_numbers_of_any_size_come_back(api: Api) -> None:
    numbers = {"properties": {"a": {"default": [2**64, 10**4000, 1e300, -0.0, 1.5e-300]}}}
    tool = api.make("/tools", name="x", input_schema=numbers)
    assert tool["input_schema"] == api.get("/tools/x").json["input_schema"] == numbers


def test_base64(api: Api) -> None:
    answer = api.post("/agents", raw="eyJuYW1lIjogIngifQ==", isBase64Encoded=True)
    assert (answer.status, answer.code) == (400, "invalid_json")


@pytest.mark.parametrize("character", ["x", "é"])
def test_too_large(api: Api, character: str) -> None:
    fits = json.dumps({"name": "x"}).replace("}", "").ljust(1_000_000 - 1) + "}"
    assert api.post("/agents", raw=fits).status == 201
    size = len(character.encode())
    answer = api.post("/agents", raw='{"name": "' + character * (1_000_000 // size) + '"}')
    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-8",
    ],
)
@pytest.mark.parametrize("header", ["content-type", "Content-Type"])
def test_json_under_these_types(api: Api, content_type: str, header: str) -> None:
    assert api.post("/agents", raw='{"name": "x"}', headers={header: content_type}).status == 201


def test_json_without_a_type(api: Api) -> None:
    assert api.post("/agents", raw='{"name": "x"}', headers={"content-type": None}).status == 201
    assert api.post("/agents", raw='{"name": "y"}', headers={"content-type": ""}).status == 201


@pytest.mark.parametrize("content_type", ["text/plain", "text/xml", "x", "json"])
def test_other_types(api: Api, content_type: str) -> None:
    answer = api.post("/agents", raw='{"name": "x"}', headers={"content-type": content_type})
    assert (answer.status, answer.code) == (400, "unsupported_content_type")
    assert api.get("/agents").json == []


@pytest.mark.parametrize(
    ("content_type", "raw"),
    [
        ("application/x-www-form-urlencoded", "name=x"),
        # Powertools fails on a multipart type without a boundary.
        ("multipart/form-data", '{"name": "x"}'),
        ("multipart/form-data; boundary=b", '--b\r\ncontent-disposition: form-data; name="name"\r\n\r\nx\r\n--b--\r\n'),
    ],
)
def test_forms(api: Api, content_type: str, raw: str) -> None:
    assert api.post("/agents", raw=raw, headers={"content-type": content_type}).code == "unsupported_content_type"


def test_a_type_without_a_body_is_not_read(api: Api) -> None:
    answer = api.post("/agents", headers={"content-type": "multipart/form-data"})
    assert (answer.status, answer.code) == (422, "validation_error")


def test_unknown_fields_are_refused(api: Api) -> None:
    answer = api.post("/agents", {"name": "x", "naem": "y", "__proto__": {}})
    assert answer.status == 422
    assert [error["loc"] for error in answer.json["errors"]] == [["body", "naem"], ["body", "__proto__"]]
    assert {error["type"] for error in answer.json["errors"]} == {"extra_forbidden"}


def test_problems_are_all_told_up_to_fifty(api: Api) -> None:
    answer = api.post("/agents", {f"x{n}": n for n in range(100)})
    assert len(answer.json["errors"]) == 50
    assert set(answer.json["errors"][0]) == {"loc", "msg", "type"}


def test_input_is_not_quoted_back(api: Api) -> None:
    answer = api.post("/agents", {"name": 7, "system_prompt": ["my-password"]})
    assert answer.status == 422
    assert "my-password" not in answer.text
