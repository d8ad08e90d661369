"""What the gateway answers by itself, from api.json: preflights, wrong methods, and its errors, to any page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime

_DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())
PATHS = {path: {method.upper() for method in item} for path, item in _DOCUMENT["paths"].items()}
LISTED = "http://localhost:3000"
_EVERY_METHOD = {"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "TRACE"}

each_path = pytest.mark.parametrize("path", PATHS)


@pytest.fixture(scope="module")
def page(platform: Runtime) -> Iterator[httpx.Client]:
    """A page of a listed origin, without a key."""
    with httpx.Client(base_url=platform.url, headers={"Origin": LISTED}, timeout=35) as client:
        yield client


def _words(header: str) -> set[str]:
    return {word.strip() for word in header.split(",")}


@each_path
def test_a_preflight_needs_no_key_and_names_the_methods_of_the_path(page: httpx.Client, path: str) -> None:
    for prefix in ("", "/api/v1"):
        answer = page.options(prefix + path, headers={"Access-Control-Request-Method": "GET"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Access-Control-Allow-Origin"] == LISTED
        assert answer.headers["Vary"] == "Origin"
        assert _words(answer.headers["Access-Control-Allow-Methods"]) == {*PATHS[path], "OPTIONS"}
        allowed = {name.lower() for name in _words(answer.headers["Access-Control-Allow-Headers"])}
        used = {"authorization", "content-type", "idempotency-key", "if-match", "last-event-id", "prefer"}
        assert allowed == {*used, "x-api-key", "x-trace-id"}
        assert answer.headers["Access-Control-Max-Age"] == "600"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        ",",
        "http://localhost",
        "http://localhost:30001",
        "https://localhost:3000",
        "http://localhost:3000/",
        "http://localhost:3000,http://localhost:8000",
        "http://localhost:3000.evil.example",
        "HTTP://LOCALHOST:3000",
        "https://evil.example",
        '"$allowed"',
        "#set($listed = true)",
    ],
)
def test_an_origin_that_is_not_listed_may_nothing(platform: Runtime, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    for method in ("OPTIONS", "PUT"):
        answer = httpx.request(method, f"{platform.url}/agents", headers=headers, timeout=35)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert answer.headers["Vary"] == "Origin"


@each_path
def test_another_method_is_405_and_hears_which_would_do(page: httpx.Client, path: str) -> None:
    for method in sorted(_EVERY_METHOD - PATHS[path]):
        answer = page.request(method, path)
        assert answer.status_code == 405
        assert _words(answer.headers["Allow"]) == {*PATHS[path], "OPTIONS"}
        assert answer.headers["Access-Control-Allow-Origin"] == LISTED
        if method != "HEAD":
            body = answer.json()
            assert body.pop("trace_id") == answer.headers["X-Trace-Id"]
            assert body == {"detail": "The path does not take this method.", "code": "method_not_allowed"}


def test_another_method_is_405_whatever_the_body_is(page: httpx.Client) -> None:
    for content_type in ("application/json; charset=utf-8", "text/plain", "multipart/form-data; boundary=x"):
        answer = page.put("/agents", headers={"Content-Type": content_type}, content=b"{not json")
        assert answer.status_code == 405, content_type


def test_the_gateways_errors_can_be_read_by_pages(page: httpx.Client) -> None:
    answers = {
        401: page.get("/agents"),
        404: page.get("/nowhere"),
        413: page.post("/agents", content=b"x" * 11_000_000),
        415: page.put("/agents", headers={"Content-Type": "image/png"}, content=b"x"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "X-Trace-Id" in _words(answer.headers["Access-Control-Expose-Headers"])
        assert answer.json().keys() == {"detail", "code", "trace_id"}


def test_answers_of_functions_can_be_read_by_listed_pages(page: httpx.Client, api: httpx.Client) -> None:
    for path in ("/agents", "/agents/nobody", "/api/v1/agents"):
        key = {"X-API-Key": api.headers["X-API-Key"]}
        assert page.get(path, headers=key).headers["Access-Control-Allow-Origin"] == LISTED
        other = page.get(path, headers=key | {"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in other.headers
