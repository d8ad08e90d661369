"""The local runtime itself, on a platform in small (``stub/``): what it serves, and how it starts and ends."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from local.deploy import client as aws_client
from local.emulator_child import oldest_finished
from local.errors import LocalError
from local.gateway import Gateway
from local.host import Answer, Host
from local.interrupted import next_name
from local.isolation import function_variables
from local.runtime import ROOT, Runtime
from local.services import FunctionError
from local.settings import boot_keys, completed, from_environment, port_of
from local.stack import Api, Authorizer, Function, Route

STUB = Path(__file__).parent / "stub"
ECHO_TOOL = {
    "type": "function",
    "function": {
        "name": "echo_tool",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[Runtime]:
    with Runtime(tmp_path_factory.mktemp("stub"), free_port(), template=STUB / "template.yaml") as runtime:
        yield runtime


@pytest.fixture(scope="module")
def http(stub: Runtime) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub.url, headers={"X-API-Key": "tenant_a"}, timeout=35) as client:
        yield client


@pytest.fixture(scope="module")
def model(stub: Runtime) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stub.tools_url}/v1", api_key="offline", max_retries=0) as client:
        yield client


# The gateway


def test_a_caller_reads_what_they_wrote(http: httpx.Client) -> None:
    assert http.put("/items/one").status_code == 200
    answer = http.get("/items/one").json()
    assert answer["found"]
    caller = answer["caller"]
    assert (caller["principalId"], caller["tenant_id"]) == ("tenant_a-user", "tenant_a")
    assert (caller["level"], caller["known"]) == ("7", "true"), "API Gateway carries text only"


def test_the_same_routes_answer_under_the_base_path(http: httpx.Client) -> None:
    assert http.get("/api/v1/items/none").json()["found"] is False
    event = http.post("/api/v1/open/a/b").json()
    assert (event["path"], event["requestContext"]["path"]) == ("/open/a/b", "/api/v1/open/a/b")
    assert http.get("/api/v10/items/none").status_code == 404


def test_static_siblings_win_for_every_method(http: httpx.Client) -> None:
    assert http.get("/items/special").json() == {"special": True}
    assert http.put("/items/special").status_code == 404


def test_the_event_is_a_rest_proxy_event(http: httpx.Client) -> None:
    event = http.post("/open/a%20b/c?x=1&x=2&y=", headers={"X-One": "1"}, content="héllo").json()
    assert event["resource"] == "/open/{rest+}"
    assert event["path"] == "/open/a b/c"
    assert event["pathParameters"] == {"rest": "a b/c"}
    assert event["queryStringParameters"] == {"x": "2", "y": ""}
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"], "y": [""]}
    assert event["headers"]["x-one"] == "1"
    assert event["multiValueHeaders"]["x-one"] == ["1"]
    assert (event["body"], event["isBase64Encoded"]) == ("héllo", False)
    assert event["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["stage"] == "live"
    assert event["requestContext"]["authorizer"] is None


@pytest.mark.parametrize(
    ("key", "status", "detail"),
    [
        ("nobody", 401, "Who are you?"),
        ("denied", 403, "User is not authorized to access this resource"),
        ("crash", 500, "Sorry."),
    ],
)
def test_the_gateway_words_its_refusals_as_the_template_says(
    http: httpx.Client, key: str, status: int, detail: str
) -> None:
    answer = http.get("/items/one", headers={"X-API-Key": key})
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


def test_a_gateway_response_has_its_headers_and_trace_id(http: httpx.Client) -> None:
    answer = http.get("/items/one", headers={"X-API-Key": "nobody"})
    assert answer.headers["x-kind"] == "refused"
    assert answer.headers["x-trace-id"] == answer.json()["trace_id"] == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/nowhere"), ("DELETE", "/items/one"), ("GET", "/"), ("HEAD", "/who")]
)
def test_an_unknown_route_is_a_missing_token(http: httpx.Client, method: str, path: str) -> None:
    assert http.request(method, path).status_code == 404


@pytest.mark.parametrize("kind", ["raises", "exits", "no-proxy-answer", "not-json", "too-big", "slow"])
def test_a_failing_function_is_a_502(http: httpx.Client, kind: str) -> None:
    answer = http.get(f"/answer/{kind}")
    assert (answer.status_code, answer.json()) == (502, {"detail": "Sorry."})


def test_an_answer_keeps_its_status_and_repeated_headers(http: httpx.Client) -> None:
    answer = http.get("/answer/cookies")
    assert answer.status_code == 201
    assert answer.headers["x-one"] == "1"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("size", [11_000_000, 7_000_000], ids=["over the gateway's limit", "over Lambda's limit"])
def test_a_large_body_is_refused(http: httpx.Client, size: int) -> None:
    answer = http.post("/open/large", content=b"x" * size)
    assert (answer.status_code, answer.json()) == (413, {"detail": "Request Too Long"})
    assert http.get("/answer/fine").text == "fine", "the connection goes on"


def test_an_authorizers_answer_is_remembered_where_the_template_says_so() -> None:
    asked: list[str] = []

    class Functions(Host):
        async def invoke(self, logical_id: str, payload: bytes) -> Answer:
            if logical_id == "Handler":
                return Answer(b'{"statusCode": 200, "body": "fine"}')
            asked.append(json.loads(payload)["headers"]["authorization"])
            statement = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*/GET/one"}
            return Answer(json.dumps({"principalId": "p", "policyDocument": {"Statement": [statement]}}).encode())

    authorizer = Authorizer("Authorizer", 60, ("method.request.header.Authorization",))
    routes = tuple(Route("GET", path, "Handler", authorizer, streamed=False) for path in ("/one", "/two"))
    gateway = Gateway(Api("api", "live", routes, responses={}, binary_types=()), Functions({}))

    async def statuses() -> list[int]:
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            calls = [("/one", "a"), ("/one", "a"), ("/two", "a"), ("/one", "b"), ("/one", "")]
            return [(await client.get(path, headers={"Authorization": key})).status_code for path, key in calls]

    assert asyncio.run(statuses()) == [200, 200, 403, 200, 401]
    assert asked == ["a", "b"]


def test_concurrent_requests_never_see_each_others_event(http: httpx.Client) -> None:
    def ask(number: int) -> bool:
        answer = http.get("/who", params={"name": f"caller {number}"}).json()
        return bool(answer["before"] == answer["after"] and answer["before"][0] == f"caller {number}")

    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(ask, range(320)))


# Functions and state machines


def test_a_function_can_be_invoked_directly(stub: Runtime) -> None:
    assert stub.invoke("Open", {"a": "ö"})["body"] == json.dumps({"a": "ö"})
    with pytest.raises(FunctionError, match="Hopeless"):
        stub.invoke("Step", {"mode": "hopeless", "id": "direct"})


def test_only_the_emulator_may_use_the_invocation_endpoint(stub: Runtime) -> None:
    headers = {"X-Amzn-Lambda-Function-Name": stub.stack.functions["Open"].name}
    assert httpx.post(f"{stub.tools_url}/_invoke", json={}, headers=headers).status_code == 403


def test_the_table_expires_items(stub: Runtime) -> None:
    dynamodb = aws_client("dynamodb", stub.emulator_url)
    found = dynamodb.describe_time_to_live(TableName=stub.stack.resources["Table"])["TimeToLiveDescription"]
    assert found == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


@pytest.mark.parametrize(
    ("mode", "output"),
    [("unsteady", {"attempts": 2}), ("hopeless", "caught by name"), ("too slow", "timed out")],
)
def test_error_names_reach_retry_and_catch(stub: Runtime, mode: str, output: Any) -> None:
    stepfunctions = aws_client("stepfunctions", stub.emulator_url)
    execution = stepfunctions.start_sync_execution(
        stateMachineArn=_machine(stub), input=json.dumps({"mode": mode, "id": uuid.uuid4().hex})
    )
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", output)


def test_executions_start_without_the_emulators_pause(stub: Runtime) -> None:
    stepfunctions = aws_client("stepfunctions", stub.emulator_url)

    def seconds() -> float:
        begun = time.monotonic()
        stepfunctions.start_sync_execution(
            stateMachineArn=_machine(stub), input=json.dumps({"mode": "fine", "id": uuid.uuid4().hex})
        )
        return time.monotonic() - begun

    assert min(seconds() for _ in range(5)) < 0.15


# The stand-ins


def test_the_echo_tool_says_what_it_got(stub: Runtime) -> None:
    assert httpx.post(f"{stub.tools_url}/echo", json={"a": 1}).json() == {"echo": {"a": 1}}
    assert httpx.get(f"{stub.tools_url}/echo", params={"a": "1"}).json() == {"echo": {"a": "1"}}


def test_the_offline_model_calls_a_tool_and_quotes_it(model: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": 'Please use the Echo-Tool with "hello"'}]
    tools: list[Any] = [ECHO_TOOL]
    first = model.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.model_dump()["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1", "echo_tool")
    assert json.loads(call["function"]["arguments"]) == {"text": "hello"}
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": "call_1", "content": "hello!"}]
    second = model.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=tools)
    assert second.choices[0].message.content == "The tool says: hello!"
    assert second.usage is not None
    assert second.usage.total_tokens == second.usage.prompt_tokens + second.usage.completion_tokens


@pytest.mark.parametrize(
    ("name", "schema", "prompt", "arguments"),
    [
        (
            "calculator",
            {"expression": {"type": "string"}},
            "calculator: what is 2 * (3 + 4)?",
            {"expression": "2 * (3 + 4)"},
        ),
        ("add", {"a": {"type": "integer"}, "b": {"type": "number"}}, "add 3 and 4.5", {"a": 3, "b": 4.5}),
        ("search", {"query": {"type": "string"}}, "Search for green tea.", {"query": "for green tea"}),
        ("search", {"query": {"type": "string"}}, 'search {"query": "tea"} now', {"query": "tea"}),
    ],
)
def test_the_offline_model_makes_arguments(
    model: openai.OpenAI, name: str, schema: dict[str, Any], prompt: str, arguments: dict[str, Any]
) -> None:
    parameters = {"type": "object", "properties": schema, "required": list(schema)}
    tools: list[Any] = [{"type": "function", "function": {"name": name, "parameters": parameters}}]
    messages: list[Any] = [{"role": "user", "content": prompt}]
    answer = model.chat.completions.create(model="offline", messages=messages, tools=tools)
    (call,) = answer.choices[0].message.model_dump()["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == arguments


def test_the_offline_model_streams_the_same_answer(model: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "tell me a rather long story,\nplease"}]
    whole = model.chat.completions.create(model="o3-mini", messages=messages)
    pieces = list(
        model.chat.completions.create(
            model="o3-mini", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == whole.choices[0].message.content
    assert len(pieces) > 3
    assert pieces[-1].usage == whole.usage


def test_the_offline_model_knows_its_names_only(model: openai.OpenAI) -> None:
    assert "offline" in [known.id for known in model.models.list()]
    with pytest.raises(openai.NotFoundError) as refused:
        model.chat.completions.create(model="claude", messages=[{"role": "user", "content": "hi"}])
    assert refused.value.code == "model_not_found"


# Start and stop in process


def test_nothing_of_a_runtime_is_left_in_the_process(tmp_path: Path, free_port: Callable[[], int]) -> None:
    def state() -> tuple[Any, ...]:
        own_modules = {name for name in sys.modules if name.partition(".")[0] == "shared"}
        return dict(os.environ), list(sys.path), sys.stdout, own_modules

    before, threads = state(), set(threading.enumerate())
    port = free_port()
    with Runtime(tmp_path, port, template=STUB / "template.yaml") as runtime:
        assert os.environ["AWS_ENDPOINT_URL"] == runtime.emulator_url
        assert httpx.get(f"{runtime.url}/who", headers={"X-API-Key": runtime.admin_key}).status_code == 502
    assert state() == before
    deadline = time.monotonic() + 5
    while left := set(threading.enumerate()) - threads:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.02)
    for used in (port, port + 1, port + 2):
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{used}")


def test_an_interrupted_execution_goes_on_after_a_restart(tmp_path: Path, free_port: Callable[[], int]) -> None:
    port, template = free_port(), STUB / "template.yaml"
    with Runtime(tmp_path, port, template=template) as runtime:
        machine, table, emulator_url = _machine(runtime), runtime.stack.resources["Table"], runtime.emulator_url
        stepfunctions = aws_client("stepfunctions", emulator_url)
        for name in ("asynchronous", "synchronous"):
            event = json.dumps({"mode": "slow at first", "id": name})
            start = {"stateMachineArn": machine, "name": name, "input": event}
            if name == "asynchronous":
                stepfunctions.start_execution(**start)
            else:
                threading.Thread(target=_ignoring_errors(stepfunctions.start_sync_execution), kwargs=start).start()
        time.sleep(0.5)
    changed = shutil.copytree(STUB, tmp_path / "changed") / "template.yaml"
    changed.write_text(changed.read_text().replace("Handler: raw.step, Timeout: 4", "Handler: raw.step, Timeout: 5"))
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
        assert httpx.put(f"{runtime.url}/items/kept", headers={"X-API-Key": "tenant_a"}).status_code == 200
        saved = tmp_path / "state" / "dynamodb.json"
        deadline = time.monotonic() + 20
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
        answer = httpx.get(f"{runtime.url}/items/kept", headers={"X-API-Key": "tenant_a"})
    assert answer.json()["found"]


def _machine(runtime: Runtime) -> str:
    return runtime.stack.machines["Machine"]


def _ignoring_errors(call: Callable[..., Any]) -> Callable[..., None]:
    def quietly(**arguments: Any) -> None:
        try:
            call(**arguments)
        except Exception as cut_off:  # noqa: BLE001 - the emulator ends in the middle of it
            assert cut_off  # noqa: PT017

    return quietly


def _settled(stepfunctions: Any, machine: str) -> dict[str, str]:
    deadline = time.monotonic() + 10
    while True:
        executions = stepfunctions.list_executions(stateMachineArn=machine)["executions"]
        found = {execution["name"]: execution["status"] for execution in executions}
        if "RUNNING" not in found.values() or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_only_old_finished_executions_are_forgotten() -> None:
    stops = {"running": None, "first": "2026-01-01", "second": "2026-01-02", "third": "2026-01-03"}
    executions = {name: {"stopDate": stop} for name, stop in stops.items()}
    assert oldest_finished(executions, keep=1) == ["first", "second"]
    assert oldest_finished(executions, keep=3) == []


def test_the_names_of_restarted_executions_count_up() -> None:
    assert [next_name(name) for name in ("run", "run.1", "run.9")] == ["run.1", "run.2", "run.10"]
    assert next_name("x" * 80) == "x" * 78 + ".1"


def test_functions_must_agree_on_their_environment(tmp_path: Path) -> None:
    def function(name: str, **environment: str) -> Function:
        return Function(name, name, tmp_path, "x.handler", timeout=3, environment=environment)

    functions = {"One": function("One", A="1", B="2"), "Two": function("Two", A="1", C="3")}
    variables = function_variables(functions, "http://emulator")
    assert variables.items() >= {"A": "1", "B": "2", "C": "3", "AWS_ENDPOINT_URL": "http://emulator"}.items()
    with pytest.raises(LocalError, match="One and Three set B differently"):
        function_variables(functions | {"Three": function("Three", B="other")}, "http://emulator")


# The console


class Console:
    """``python -m local`` as a user starts it."""

    def __init__(self, data_dir: Path, port: int, template: Path | None = None, **environment: str) -> None:
        settings = {"PORT": str(port), "LOCAL_DATA_DIR": str(data_dir), "PATH": os.environ["PATH"], **environment}
        if template:
            settings["LOCAL_TEMPLATE"] = str(template)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"], cwd=ROOT, env=settings, stdout=pipe, stderr=pipe, text=True
        )
        self.output = ""

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if "Ctrl-C" in line:
                return
        raise AssertionError(self.output + self.ended()[1])

    def curl(self) -> Any:
        """Run the command that the console shows."""
        command = self.output.partition("Try it:")[2].partition("Ctrl-C")[0]
        return json.loads(subprocess.check_output(["bash", "-c", command], text=True))

    def emulator(self) -> int:
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    def ended(self) -> tuple[int, str]:
        """The exit code and what stands on standard error."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def console(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Console]]:
    port, started = free_port(), []

    def start(**options: Any) -> Console:
        started.append(Console(**{"data_dir": tmp_path / "data", "port": port, **options}))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.terminate()
        one.process.communicate(timeout=30)


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
    agents = httpx.get(f"{url}/agents", headers={"X-API-Key": key}).json()
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


def test_a_data_folder_has_one_runtime(stub: Runtime, console: Callable[..., Console]) -> None:
    code, errors = console(data_dir=stub.data_dir).ended()
    assert code == 1
    assert re.fullmatch(rf"error: .+ is in use by another local runtime \(process {os.getpid()}\)\n", errors)


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
