"""Health, the pages and the document, as anybody gets them over HTTP."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from local.runtime import Runtime

COMMITTED: dict[str, Any] = json.loads((Path(__file__).parents[2] / "openapi.json").read_text())


@pytest.mark.covers("GET /health", "GET /health/db")
def test_anybody_may_ask_how_it_is(platform: Runtime) -> None:
    assert httpx.get(f"{platform.url}/health", timeout=35).json() == {"status": "ok"}
    assert httpx.get(f"{platform.url}/api/v1/health", timeout=35).json() == {"status": "healthy"}
    for base in ("", "/api/v1"):
        answer = httpx.get(f"{platform.url}{base}/health/db", timeout=35)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert 0 < answer.json()["latency_ms"] < 10_000


@pytest.mark.covers("GET /openapi.json")
def test_the_document_leads_to_where_it_was_found(platform: Runtime) -> None:
    for base in ("", "/api/v1"):
        answer = httpx.get(f"{platform.url}{base}/openapi.json", timeout=35)
        document = answer.json()
        assert document["servers"] == [{"url": platform.url + base}]
        assert document["paths"] == COMMITTED["paths"]
        validate(document, cls=OpenAPIV31SpecValidator)


@pytest.mark.covers("GET /docs", "GET /redoc")
@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/v1/docs", "/api/v1/redoc"])
def test_a_page_is_whole_and_its_scripts_are_sound(platform: Runtime, path: str, tmp_path: Path) -> None:
    answer = httpx.get(platform.url + path, timeout=35)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["X-Trace-Id"]
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert [len(script) > 500_000 for script in scripts] == [True, False]
    for script in scripts:
        file = tmp_path / "script.js"
        file.write_text(script)
        subprocess.run(["node", "--check", str(file)], check=True, capture_output=True, timeout=60)
