"""A client that a generator makes of openapi.json takes the walk of the README."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime

_DOCUMENT = Path(__file__).parents[2] / "openapi.json"
_PACKAGE = "generated_platform_client"


class Generated:
    """The generated package: its operations called by name, its models by theirs."""

    def __init__(self, url: str, key: str) -> None:
        client: Any = import_module(f"{_PACKAGE}.client")
        self.models: Any = import_module(f"{_PACKAGE}.models")
        self.client = client.AuthenticatedClient(url, key, prefix="", auth_header_name="X-API-Key", timeout=35)

    def call(self, tag: str, operation: str, *arguments: str, **options: Any) -> Any:
        """The parsed answer of an operation that succeeds."""
        module: Any = import_module(f"{_PACKAGE}.api.{tag}.{operation}")
        answer = module.sync_detailed(*arguments, client=self.client, **options)
        assert 200 <= answer.status_code < 300, answer.content
        return answer.parsed


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package, importable; a warning of the generator is a failure."""
    folder = tmp_path_factory.mktemp("client")
    generator = Path(sys.executable).with_name("openapi-python-client")
    options = ["--path", str(_DOCUMENT), "--output-path", str(folder / _PACKAGE), "--meta", "none", "--fail-on-warning"]
    # The generator formats what it made with the ruff that stands beside it.
    path = os.pathsep.join([str(generator.parent), os.environ["PATH"]])
    made = subprocess.run(
        [str(generator), "generate", *options],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = made.stdout + made.stderr
    assert made.returncode == 0, said
    assert "arning" not in said, said
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]


@pytest.fixture
def client(package: None, platform: Runtime, api: httpx.Client) -> Iterator[Generated]:
    generated = Generated(platform.url, api.headers["X-API-Key"])
    with generated.client:
        yield generated


def test_a_generated_client_takes_the_walk(client: Generated, platform: Runtime) -> None:
    models = client.models
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    tool = client.call(
        "tools",
        "create_tool",
        body=models.ToolCreate.from_dict(
            {"name": "generated_echo", "input_schema": schema, "endpoint": f"{platform.tools_url}/echo"}
        ),
    )
    assert tool.input_schema.to_dict() == schema
    agent = client.call(
        "agents",
        "create_agent",
        body=models.AgentCreate.from_dict({"name": "generated parrot", "status": "published"}),
    )
    assert (agent.name, str(agent.status)) == ("generated parrot", "published")
    binding = client.call(
        "bindings", "bind_tool", agent.name, tool.name, body=models.BindingCreate.from_dict({"timeout_ms": 5000})
    )
    assert (binding.agent_id, binding.tool_id, binding.timeout_ms) == (agent.id, tool.id, 5000)
    question = {"agent_id": agent.name, "input_message": 'Use generated_echo to say "hello"'}
    run = client.call("runs", "start_run", body=models.RunCreate.from_dict(question))
    assert (str(run.status), run.output_message) == ("succeeded", 'The tool says: {"echo":{"text":"hello"}}')
    assert client.call("runs", "get_run", run.id) == run
    events = client.call("runs", "list_events", run.id, after=4)
    assert [event.id for event in events] == [5, 6, 7, 8]
    assert str(events[-1].event) == "result"
    assert run.id in [one.id for one in client.call("runs", "list_runs", limit=100)]


def test_a_generated_client_reads_refusals(client: Generated, platform: Runtime) -> None:
    module: Any = import_module(f"{_PACKAGE}.api.runs.get_run")
    answer = module.sync_detailed("nobody", client=client.client)
    assert (answer.status_code, answer.parsed.code) == (404, "not_found")
    assert answer.parsed.trace_id == answer.headers["X-Trace-Id"]
