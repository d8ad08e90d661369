"""The pages for people and the document: whole, from one place, and nothing runs that did not come with them."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.support.gateway import Answer, Api

pytestmark = pytest.mark.covers("GET /docs", "GET /redoc", "GET /openapi.json")
COMMITTED: dict[str, Any] = json.loads((Path(__file__).parents[3] / "openapi.json").read_text())
PAGES = {"/docs": "SwaggerUIBundle(", "/redoc": "Redoc.init("}

each_page = pytest.mark.parametrize("path", PAGES)


def _scripts(answer: Answer) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)


def _policy(answer: Answer) -> dict[str, list[str]]:
    rules = [rule.split() for rule in answer.headers["content-security-policy"].split(";")]
    return {name: values for name, *values in rules}


@each_page
def test_a_page_brings_its_viewer_and_shows_the_document(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    bundle, start = _scripts(answer)
    assert len(bundle) > 500_000
    assert start.startswith(PAGES[path])
    assert '"openapi.json"' in start, "beside the page, whatever stands before both"
    assert '<div id="viewer"></div>' in answer.text


@each_page
def test_a_page_fits_what_a_function_may_answer(api: Api, path: str) -> None:
    assert len(json.dumps(api.get(path).text).encode()) < 5_000_000


@each_page
def test_nothing_runs_but_the_scripts_of_the_page(api: Api, path: str) -> None:
    answer = api.get(path)
    policy = _policy(answer)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in _scripts(answer)]
    assert policy["script-src"] == [f"'sha256-{digest}'" for digest in digests]
    assert policy["default-src"] == ["'none'"]
    assert policy["connect-src"] == ["'self'"]
    assert {"base-uri", "form-action", "frame-ancestors"} <= policy.keys()
    assert "http" not in answer.headers["content-security-policy"], "no other host"


@each_page
def test_a_page_loads_nothing(api: Api, path: str) -> None:
    text = api.get(path).text
    for script in _scripts(api.get(path)):
        text = text.replace(script, "")
    text = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|@import|url\(", text)


def test_the_document_is_the_committed_one_at_the_place_asked(api: Api) -> None:
    context = {"path": "/api/v1/openapi.json", "domainName": "api.example.com"}
    forwarded = {"X-Forwarded-Proto": "https"}
    served = api.get("/openapi.json", requestContext=context, headers=forwarded).json
    assert served.pop("servers") == [{"url": "https://api.example.com/api/v1"}]
    sign_in = served["components"]["securitySchemes"]["OAuth2"]["flows"]["clientCredentials"]
    assert sign_in.pop("tokenUrl") == "https://api.example.com/api/v1/auth/token"
    sign_in["tokenUrl"] = "/auth/token"
    assert served == {name: value for name, value in COMMITTED.items() if name != "servers"}


@pytest.mark.parametrize(
    ("path", "base"), [("/live/openapi.json", "/live"), ("/openapi.json", ""), ("", ""), ("/elsewhere", "")]
)
def test_the_place_has_what_stands_before_the_route(api: Api, path: str, base: str) -> None:
    answer = api.get("/openapi.json", requestContext={"path": path, "domainName": "localhost:8000"})
    assert answer.json["servers"] == [{"url": f"http://localhost:8000{base}"}]


@pytest.mark.parametrize("proto", ["javascript", "https, http", ""])
def test_the_scheme_is_one_of_two(api: Api, proto: str) -> None:
    context = {"path": "/openapi.json", "domainName": "h"}
    answer = api.get("/openapi.json", requestContext=context, headers={"X-Forwarded-Proto": proto})
    assert answer.json["servers"] == [{"url": "http://h"}]
