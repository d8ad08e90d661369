"""The log file of a platform that runs by itself: lines of JSON that say whose they are, and no secrets."""

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration import said_aloud
from tests.integration.console import Console
from tests.integration.neighbours import Neighbours, asks, says

WORD = uuid.uuid4().hex
"""Stands in every text that the tests send, and must stand in no line."""

Line = dict[str, Any]


class Platform:
    """A platform of its own, and what its functions have written."""

    def __init__(self, key: str, api: httpx.Client, log: Path) -> None:
        self.key, self.api, self._log = key, api, log

    def lines(self, **wanted: str) -> list[Line]:
        """The lines that bear these values."""
        lines: list[Line] = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line for line in lines if wanted.items() <= line.items()]

    def text(self) -> str:
        return self._log.read_text()

    def make(self, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        answer = self.api.post(path, json=body, headers={"X-API-Key": self.key} | (headers or {}))
        assert answer.status_code == 201, answer.text
        return answer.json()

    def agent(self, neighbours: Neighbours, *script: Any, **fields: Any) -> str:
        """An agent whose model follows the script; its name."""
        name = f"logged_{uuid.uuid4().hex[:8]}"
        neighbours.script[name] = list(script)
        self.make("/agents", name=name, model=f"custom:{name}", **fields)
        return name


@pytest.fixture(scope="module")
def platform(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int], neighbours: Neighbours
) -> Iterator[Platform]:
    data_dir = tmp_path_factory.mktemp("logged")
    provider: dict[str, Any] = {"CUSTOM_BASE_URL": f"{neighbours.url}/v1", "CUSTOM_API_KEY": f"provider-{WORD}"}
    console = Console(data_dir, free_port(), **provider)
    try:
        console.wait_until_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{console.port}", timeout=35) as api:
            yield Platform(console.admin_key(), api, data_dir / "functions.log")
    finally:
        console.process.terminate()
        console.process.communicate(timeout=30)


def test_keys_passwords_tokens_and_prompts_stand_in_no_line(platform: Platform, neighbours: Neighbours) -> None:
    api = platform.api
    for headers in ({"X-API-Key": WORD}, {"Authorization": f"Bearer {WORD}"}):
        assert api.get("/agents", headers=headers).status_code == 401
    person = {"username": f"u{WORD}", "password": f"secret {WORD}", "email": f"{WORD}@example.com"}
    assert api.post("/auth/register", json=person).status_code == 201
    assert api.post("/auth/login", json=person | {"password": f"other {WORD}"}).status_code in {401, 422}
    assert api.post("/auth/refresh", json={"refresh_token": WORD}).status_code == 401
    key = platform.make("/api-keys", name="logged", scopes=["agents:read"])["key"]
    assert api.get(f"/agents/{WORD}?x={WORD}", headers={"X-API-Key": key}).status_code == 404
    asked = [asks(("tool_that_is_not_there", {"word": WORD})), says(f"Your word is {WORD}.")]
    agent = platform.agent(neighbours, *asked, system_prompt=f"Keep {WORD} for yourself.")
    assert platform.make("/runs", agent_id=agent, input_message=f"Say {WORD}")["status"] == "succeeded"
    agent = platform.agent(neighbours, 400)
    assert platform.make("/runs", agent_id=agent, input_message=f"Say {WORD}")["status"] == "failed"
    assert platform.lines()
    assert said_aloud.secrets_in(platform.text(), [WORD, key, platform.key]) == []


def test_a_run_can_be_followed_through_the_lines(platform: Platform, neighbours: Neighbours) -> None:
    agent = platform.agent(neighbours, 400)
    run = platform.make("/runs", {"X-Trace-Id": "followed"}, agent_id=agent, input_message="Hi")
    lines = platform.lines(run_id=run["id"])
    assert {line["tenant_id"] for line in lines} == {run["tenant_id"]}
    assert {line["trace_id"] for line in lines if line["operation"] != "fail_run" or "_aws" in line} == {"followed"}
    assert {line["operation"] for line in lines} == {"call_model", "fail_run"}
    assert all("AgentRun" in line["function"] for line in lines)
    (failure,) = [line for line in lines if line.get("message") == "worker failed"]
    assert (failure["error"], failure["service"]) == ("ModelRejected", "agent-platform")
    (end,) = [line for line in lines if "runs.finished" in line]
    assert (end["run.status"], end["error.type"], end["service"]) == ("failed", "model_rejected", "agent-platform")


def test_a_refused_key_is_no_failure_of_the_authorizer(platform: Platform) -> None:
    before = len(platform.lines())
    assert platform.api.get("/agents", headers={"X-API-Key": "nobody"}).status_code == 401
    lines = [line for line in platform.lines()[before:] if line.get("operation") == "authorize"]
    metric, line = lines
    assert metric["authorizer.refused"] == [1]
    assert (line["message"], line["level"]) == ("refused", "INFO")
    assert not [line for line in platform.lines()[before:] if line.get("errorType") == "Refusal"]
