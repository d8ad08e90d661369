"""The local runtime: start, stop, restart, and its console."""

import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import client as aws_client
from local.emulator_child import put_in_place
from local.errors import LocalError
from local.interrupted import next_name
from local.isolation import function_variables
from local.permissions import Role
from local.runtime import Runtime
from local.settings import boot_keys, completed, from_environment, port_of
from local.stack import Function
from tests.integration.console import Console

STUB = Path(__file__).parent / "stub"

# Start and stop in process


def test_nothing_of_a_runtime_is_left_in_the_process(tmp_path: Path, free_port: Callable[[], int]) -> None:
    def state() -> tuple[Any, ...]:
        own_modules = {name for name in sys.modules if name.partition(".")[0] == "shared"}
        return dict(os.environ), list(sys.path), sys.stdout, own_modules

    before, threads = state(), set(threading.enumerate())
    port = free_port()
    with Runtime(tmp_path, port, template=STUB / "template.yaml") as runtime:
        assert os.environ["AWS_ENDPOINT_URL"] == runtime.emulator_url
        assert httpx.get(f"{runtime.url}/who", headers={"X-API-Key": runtime.admin_key}, timeout=35).status_code == 502
    assert state() == before
    deadline = time.monotonic() + 60
    while left := set(threading.enumerate()) - threads:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)
    for used in (port, port + 1, port + 2):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{used}")


def test_an_interrupted_execution_goes_on_after_a_restart(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port, template = free_port(), STUB / "template.yaml"
    with Runtime(tmp_path, port, template=template) as runtime:
        machine, table, emulator_url = (
            runtime.stack.machines["Machine"],
            runtime.stack.resources["Table"],
            runtime.emulator_url,
        )
        dynamodb, stepfunctions = aws_client("dynamodb", emulator_url), aws_client("stepfunctions", emulator_url)
        for name in ("asynchronous", "synchronous"):
            event = json.dumps({"mode": "slow at first", "id": name})
            start = {"stateMachineArn": machine, "name": name, "input": event}
            if name == "asynchronous":
                stepfunctions.start_execution(**start)
            else:
                threading.Thread(target=_ignoring_errors(stepfunctions.start_sync_execution), kwargs=start).start()
        for name in ("asynchronous", "synchronous"):
            while "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": f"attempts {name}"}}):
                time.sleep(0.02)
    changed = shutil.copytree(STUB, tmp_path / "changed") / "template.yaml"
    changed.write_text(changed.read_text().replace("Timeout: 4", "Timeout: 5"))
    for next_template, next_port in ((template, port), (changed, free_port())):
        with Runtime(tmp_path, next_port, template=next_template) as runtime:
            assert runtime.stack.resources["Table"] == table, "a restart keeps the table"
            assert runtime.emulator_url == emulator_url, "the data keeps its emulator's port"
            assert _settled(aws_client("stepfunctions", emulator_url), machine) == {
                "asynchronous": "FAILED",
                "synchronous": "FAILED",
                "asynchronous.1": "SUCCEEDED",
                "synchronous.1": "SUCCEEDED",
            }
    assert runtime.stack.functions["Step"].timeout == 5


def test_a_killed_emulator_loses_moments_only(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port = free_port()
    with Runtime(tmp_path, port, template=STUB / "template.yaml", snapshot_seconds=0.1) as runtime:
        assert httpx.put(f"{runtime.url}/items/kept", headers={"X-API-Key": "tenant_a"}, timeout=35).status_code == 200
        saved = tmp_path / "state" / "dynamodb.json"
        deadline = time.monotonic() + 60
        while not (saved.exists() and "kept" in saved.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert runtime.emulator_pid
        os.kill(runtime.emulator_pid, signal.SIGKILL)
        while runtime.emulator_pid:
            time.sleep(0.02)
        with pytest.raises(LocalError, match="the emulator ended unexpectedly"):
            runtime.check()
    with Runtime(tmp_path, port, template=STUB / "template.yaml") as runtime:
        answer = httpx.get(f"{runtime.url}/items/kept", headers={"X-API-Key": "tenant_a"}, timeout=35)
    assert answer.json()["found"]


def _ignoring_errors(call: Callable[..., Any]) -> Callable[..., None]:
    def quietly(**arguments: Any) -> None:
        try:
            call(**arguments)
        except Exception as cut_off:  # noqa: BLE001 - the emulator ends in the middle of it
            assert cut_off  # noqa: PT017

    return quietly


def _settled(stepfunctions: Any, machine: str) -> dict[str, str]:
    deadline = time.monotonic() + 60
    while True:
        executions = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        found = {execution["name"]: execution["status"] for execution in executions}
        if "RUNNING" not in found.values() or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_the_names_of_restarted_executions_count_up() -> None:
    assert [next_name(name) for name in ("run", "run.1", "run.9")] == ["run.1", "run.2", "run.10"]
    assert next_name("x" * 80) == "x" * 78 + ".1"


def test_functions_must_agree_on_their_environment(tmp_path: Path) -> None:
    def function(name: str, **environment: str) -> Function:
        return Function(name, name, tmp_path, "x.handler", timeout=3, environment=environment, role=Role(name, ()))

    functions = {"One": function("One", A="1", B="2"), "Two": function("Two", A="1", C="3")}
    variables = function_variables(functions, "http://emulator")
    assert variables.items() >= {"A": "1", "B": "2", "C": "3", "AWS_ENDPOINT_URL": "http://emulator"}.items()
    with pytest.raises(LocalError, match="One and Three set B differently"):
        function_variables(functions | {"Three": function("Three", B="other")}, "http://emulator")


# The console


def test_the_console_starts_stops_and_keeps_its_data(console: Callable[..., Console], tmp_path: Path) -> None:
    first = console()
    first.wait_until_ready()
    made = first.curl()
    emulator = first.emulator()
    key = (tmp_path / "data" / "demo-key").read_text().strip()
    assert (tmp_path / "data" / "demo-key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    first.process.send_signal(signal.SIGINT)
    assert first.ended() == (0, "")
    assert not Path(f"/proc/{emulator}").exists(), "the emulator is stopped too"

    second = console()
    second.wait_until_ready()
    assert key in second.output, "the key is kept"
    also_made = second.curl()
    # Neither asked to stop nor given the time to: the emulator must notice by itself and save.
    second.process.kill()
    second.ended()

    third = console()
    third.wait_until_ready()
    url = third.output.partition("ready after")[2].split()[2]
    agents = httpx.get(f"{url}/agents", headers={"X-API-Key": key}, timeout=35).json()
    assert {made["id"], also_made["id"]} <= {agent["id"] for agent in agents}
    os.kill(third.emulator(), signal.SIGKILL)
    code, errors = third.ended()
    assert code == 1
    assert re.fullmatch(r"error: the emulator ended unexpectedly: .*\n", errors)


@pytest.mark.parametrize("offset", [0, 1, 2])
def test_a_taken_port_is_one_line(console: Callable[..., Console], free_port: Callable[[], int], offset: int) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port + offset)):
        code, errors = console(port=port).ended()
    assert code == 1
    assert re.fullmatch(rf"error: port {port + offset} \(.+\) is taken: .+\n", errors)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Resources: [", "error: the template .+ is not valid YAML: .+"),
        ("Resources: { A: { Type: 'AWS::No::Such' } }", "error: CloudFormation refused the template: .+"),
        ("{ a: 1 }", "error: the template .+ has no Resources"),
    ],
)
def test_a_broken_template_is_one_line(console: Callable[..., Console], tmp_path: Path, text: str, line: str) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(text)
    code, errors = console(template=template).ended()
    assert code == 1
    assert re.fullmatch(f"{line}\n", errors), errors


# Settings


def test_only_named_settings_leave_the_users_environment() -> None:
    environ = {"OPENAI_API_KEY": "k", "TOOL_RETRY_ATTEMPTS": "1", "SECRET_X": "s", "HOME": "/root", "AWS_PROFILE": "p"}
    assert from_environment(environ) == {"OPENAI_API_KEY": "k", "TOOL_RETRY_ATTEMPTS": "1", "SECRET_X": "s"}


def test_secrets_that_are_too_short_are_refused_at_the_start() -> None:
    for wrong in (
        {"JWT_SECRET": "short"},
        {"JWT_ALGORITHM": "RS256"},
        {"JWT_ALGORITHM": "HS512", "JWT_SECRET": "x" * 63},
    ):
        with pytest.raises(LocalError, match="JWT_"):
            completed(wrong, 8001)
    assert completed({"JWT_SECRET": "x" * 32}, 8001)["JWT_SECRET"] == "x" * 32


def test_the_offline_model_stands_in_only_where_no_model_is_set() -> None:
    assert completed({}, 8001)["OPENAI_BASE_URL"] == "http://127.0.0.1:8001/v1"
    assert "OPENAI_BASE_URL" not in completed({"OPENAI_API_KEY": "k"}, 8001)
    assert completed({"OPENAI_BASE_URL": "http://x/v1"}, 8001)["OPENAI_BASE_URL"] == "http://x/v1"


def test_tools_may_reach_the_stand_ins_and_what_the_user_allows() -> None:
    hosts = completed({"TOOL_PRIVATE_HOSTS": "10.0.0.1:80"}, 8001)["TOOL_PRIVATE_HOSTS"]
    assert hosts == "10.0.0.1:80,127.0.0.1:8001,localhost:8001"


def test_boot_keys_are_merged_with_the_demo_tenants() -> None:
    keys = boot_keys('{"mine": {"tenant_id": "m", "user_id": "u", "scopes": []}}')
    assert sorted(keys) == ["mine", "tenant_a", "tenant_b", "tenant_c"]
    for wrong in ("[]", "{", '"x"'):
        with pytest.raises(LocalError, match="AUTH_API_KEYS"):
            boot_keys(wrong)


@pytest.mark.parametrize("port", ["0", "65534", "http", "-1"])
def test_a_port_must_leave_room_for_two_more(port: str) -> None:
    with pytest.raises(LocalError, match="PORT"):
        port_of({"PORT": port})


def test_a_state_is_put_in_place_whole_or_not_at_all(tmp_path: Path) -> None:
    folder, written = tmp_path / "state", tmp_path / "state.next"
    folder.mkdir()
    (folder / "a.json").write_text("old")
    for complete, kept in ((False, "old"), (True, "new")):
        written.mkdir()
        (written / "a.json").write_text("new")
        if complete:
            (written / "complete").touch()
        put_in_place(folder)
        assert (folder / "a.json").read_text() == kept
        assert not written.exists()
