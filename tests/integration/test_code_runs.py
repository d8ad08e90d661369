"""Runs of agents' own code over HTTP: the real machines, the real sandbox."""

import contextlib
import glob
import itertools
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.runtime import Runtime
from tests.integration.running import eventually
from tests.unit.support import tarballs

pytestmark = pytest.mark.covers(
    "POST /runtime/{agent_id}/execute",
    "GET /runtime/executions",
    "GET /runtime/executions/{execution_id}",
    "POST /runtime/executions/{execution_id}/cancel",
    "POST /runs",
    "POST /runs/{run_id}/cancel",
    "GET /logs/executions/{execution_id}/logs",
)
ASYNC = {"Prefer": "respond-async"}
_number = itertools.count()


def code_agent(api: httpx.Client, source: str, manifest: bytes = tarballs.MANIFEST) -> str:
    """The id of a new agent with this code, once it is ready."""
    made = api.post("/agents", json={"name": f"code_{next(_number)}_{time.time_ns()}"})
    assert made.status_code == 201, made.text
    agent_id = str(made.json()["id"])
    upload(api, agent_id, source, manifest)
    return agent_id


def upload(api: httpx.Client, agent_id: str, source: str, manifest: bytes = tarballs.MANIFEST) -> dict[str, Any]:
    archive = tarballs.agent(source.encode(), manifest)
    sent = api.post(f"/uploads/agent/{agent_id}", files={"file": ("agent.tar.gz", archive, "application/gzip")})
    assert sent.status_code == 201, sent.text
    version: dict[str, Any] = {}

    def built() -> bool:
        version.update(api.get(f"/agents/{agent_id}/versions/{sent.json()['version']}").json())
        return version["status"] in {"ready", "failed"}

    eventually(built)
    assert version["status"] == "ready", version["build_log"]
    return version


def execute(api: httpx.Client, agent_id: str, payload: Any) -> dict[str, Any]:
    answer = api.post(f"/runtime/{agent_id}/execute", json={"payload": payload})
    assert answer.status_code == 201, answer.text
    execution: dict[str, Any] = answer.json()
    return execution


def test_an_agents_own_code_is_executed(api: httpx.Client, other_api: httpx.Client) -> None:
    source = "def handle(payload):\n    print('working')\n    return {'said': payload['input'][::-1], 'n': 1.5}\n"
    agent_id = code_agent(api, source)
    execution = execute(api, agent_id, {"input": "hello", "deep": {"a": [1]}})
    assert execution["status"] == "completed", execution
    assert execution["input_data"] == {"input": "hello", "deep": {"a": [1]}}
    assert execution["output_data"] == {"said": "olleh", "n": 1.5}
    assert execution["error_message"] is None
    agent = api.get(f"/agents/{agent_id}").json()
    assert execution["agent_version_id"] == agent["current_version_id"]
    assert api.get(f"/runtime/executions/{execution['id']}").json() == execution
    run = api.get(f"/runs/{execution['id']}").json()
    assert (run["kind"], run["status"], run["model"], run["agent_version"]) == ("code", "succeeded", None, 1)
    events = [event["event"] for event in api.get(f"/runs/{run['id']}/events").json()]
    assert events == ["start", "code.completed", "message.completed", "result"]
    lines = api.get(f"/logs/executions/{run['id']}/logs").json()
    assert [(line["level"], line["message"], line["source"]) for line in lines] == [
        ("INFO", "working", "runtime"),
        ("INFO", f"Execution {run['id']} completed successfully", "runtime"),
    ]
    assert lines[0]["metadata"]["execution_id"] == run["id"]
    assert other_api.post(f"/runtime/{agent_id}/execute", json={"payload": {}}).status_code == 404
    assert other_api.get(f"/logs/executions/{run['id']}/logs").status_code == 404


def test_the_same_agent_runs_by_post_runs(api: httpx.Client) -> None:
    agent_id = code_agent(api, "def handle(payload):\n    return payload['input'].upper()\n")
    run = api.post("/runs", json={"agent_id": agent_id, "input_message": "hello"})
    assert run.status_code == 201, run.text
    assert (run.json()["status"], run.json()["output_message"]) == ("succeeded", "HELLO")
    shown = api.get(f"/runtime/executions/{run.json()['id']}").json()
    assert (shown["input_data"], shown["output_data"]) == ({"input": "hello"}, {"result": "HELLO"})


def test_the_latest_version_that_is_ready_is_run(api: httpx.Client) -> None:
    agent_id = code_agent(api, "def handle(payload):\n    return 1\n")
    assert execute(api, agent_id, {})["output_data"] == {"result": 1}
    upload(api, agent_id, "def handle(payload):\n    return 2\n")
    assert execute(api, agent_id, {})["output_data"] == {"result": 2}


def test_an_agent_without_code_that_is_ready(api: httpx.Client) -> None:
    made = api.post("/agents", json={"name": f"code_{time.time_ns()}", "kind": "code"}).json()
    answer = api.post(f"/runtime/{made['id']}/execute", json={"payload": {}})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_ready_version")
    answer = api.post("/runs", json={"agent_id": made["id"], "input_message": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_ready_version")


@pytest.mark.parametrize(
    ("source", "reason", "error"),
    [
        ("def handle(payload):\n    raise ValueError('bad')\n", "agent_error", "ValueError: bad"),
        ("def handle(payload):\n    return {1, 2}\n", "result_invalid", "TypeError: Object of type set"),
        ("import os\ndef handle(payload):\n    os._exit(1)\n", "ended_early", "The agent ended its process"),
    ],
)
def test_code_that_fails(api: httpx.Client, source: str, reason: str, error: str) -> None:
    execution = execute(api, code_agent(api, source), {"a": 1})
    assert execution["status"] == "failed"
    assert execution["error_message"].startswith(error)
    assert api.get(f"/runs/{execution['id']}").json()["stop_reason"] == reason
    assert api.get(f"/logs/executions/{execution['id']}/logs").json()[-1]["level"] == "ERROR"


def test_code_that_does_not_end_is_ended(api: httpx.Client) -> None:
    manifest = tarballs.MANIFEST + b"timeout_seconds: 1\n"
    agent_id = code_agent(api, "def handle(payload):\n    print('on and on')\n    while True: pass\n", manifest)
    execution = execute(api, agent_id, {})
    assert (execution["status"], execution["error_message"]) == ("failed", "The agent did not answer within 1 seconds.")
    run = api.get(f"/runs/{execution['id']}").json()
    assert (run["status"], run["stop_reason"]) == ("timed_out", "time_used_up")
    assert api.get(f"/logs/executions/{run['id']}/logs").json()[0]["message"] == "on and on"


def at_work(entrypoint: str) -> bool:
    """Whether a sandbox runs this entrypoint: it stands in the arguments of its process."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if entrypoint in Path(path).read_text():
                return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="it looks at the processes in /proc")
@pytest.mark.parametrize("path", ["/runs/{}/cancel", "/runtime/executions/{}/cancel"])
def test_a_cancel_ends_the_code_too(api: httpx.Client, path: str) -> None:
    name = f"wait_{time.time_ns()}"
    source = f"import time\ndef {name}(payload):\n    time.sleep(29)\n    return 1\n"
    agent_id = code_agent(api, source, f"name: waiting\nentrypoint: agent.main:{name}\n".encode())
    begun = api.post("/runs", json={"agent_id": agent_id, "input_message": "x"}, headers=ASYNC)
    assert begun.status_code == 202, begun.text
    run_id = begun.json()["id"]
    eventually(lambda: at_work(name))
    assert api.post(path.format(run_id)).json()["status"] == "cancelled"
    eventually(lambda: not at_work(name), seconds=20)
    lines: list[Any] = []

    def told() -> bool:
        lines[:] = api.get(f"/logs/executions/{run_id}/logs").json()
        return bool(lines)

    eventually(told)
    assert lines[-1]["message"] == f"Execution {run_id} ended: cancelled. The run was cancelled."
    assert api.get(f"/runs/{run_id}").json()["status"] == "cancelled"


def test_runs_of_a_session_come_one_after_another(api: httpx.Client) -> None:
    agent_id = code_agent(api, "def handle(payload):\n    return payload['input']\n")
    body = {"agent_id": agent_id, "session_id": f"s-{time.time_ns()}"}
    for message in ("one", "two"):
        run = api.post("/runs", json=body | {"input_message": message}).json()
        assert (run["status"], run["output_message"]) == ("succeeded", message)


def test_the_host_is_out_of_reach(api: httpx.Client, platform: Runtime) -> None:
    source = f"""
import glob, os, socket
def handle(payload):
    found = {{"environment": dict(os.environ), "processes": glob.glob("/proc/[0-9]*/environ")}}
    found["data"] = os.path.exists({str(platform.data_dir)!r})
    try:
        socket.create_connection(("127.0.0.1", {platform.url.rpartition(":")[2]}), 2)
        found["network"] = True
    except OSError as error:
        found["network"] = error.errno
    return found
"""
    execution = execute(api, code_agent(api, source), {})
    assert execution["status"] == "completed", execution
    found = execution["output_data"]
    assert found["environment"].keys() == {"HOME", "LANG", "PATH", "TMPDIR"}
    assert found["network"] is not True
    run = api.get(f"/runs/{execution['id']}/events").json()
    (walls,) = (event["data"]["walls"] for event in run if event["event"] == "code.completed")
    if "namespaces" in walls:
        assert (found["processes"], found["data"]) == ([], False)


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef handle(payload):\n    open('left', 'w').write('x')\n    while True: os.listdir('.')\n",
        "def handle(payload):\n    a = []\n    while True: a.append(bytearray(1 << 20))\n",
        "def handle(payload):\n    while True: print('x' * 1000)\n",
        "import os\ndef handle(payload):\n    os.kill(os.getppid(), 9)\n    os.fork()\n",
    ],
    ids=["never ends", "fills the memory", "floods its output", "kills and forks"],
)
def test_the_next_tenant_does_not_notice_a_hostile_agent(
    api: httpx.Client, other_api: httpx.Client, source: str
) -> None:
    hostile = code_agent(api, source, tarballs.MANIFEST + b"timeout_seconds: 2\n")
    good = code_agent(other_api, "import os\ndef handle(payload):\n    return os.listdir('.')\n")
    assert execute(api, hostile, {})["status"] == "failed"
    assert execute(other_api, good, {})["output_data"] == {"result": []}
