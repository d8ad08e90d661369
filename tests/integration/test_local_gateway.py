"""The stand-ins of API Gateway, Lambda and Step Functions, on a small template of their own."""

import asyncio
import json
import os
import re
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
from local.gateway import Gateway
from local.host import Answer, Host
from local.runtime import Runtime
from local.services import FunctionError
from local.stack import Api, Authorizer, Route
from local.usage_plans import UsagePlans
from local.web import WebHost
from tests.integration.console import Console

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
    api = Api("api", "live", routes, responses={}, binary_types=())
    gateway = Gateway(api, Functions({}), WebHost({}), UsagePlans(dict))

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


def test_a_function_may_do_only_what_its_policies_grant(stub: Runtime, http: httpx.Client) -> None:
    refused = http.patch("/items/1").json()["refused"]
    role, table = stub.stack.functions["Items"].role.name, stub.stack.resources["Table"]
    assert refused == {
        "Code": "AccessDeniedException",
        "Message": f"User: arn:aws:sts::000000000000:assumed-role/{role}/Items is not authorized to perform: "
        f"dynamodb:DeleteItem on resource: arn:aws:dynamodb:us-east-1:000000000000:table/{table} "
        "because no identity-based policy allows the dynamodb:DeleteItem action",
    }
    assert refused["Message"] in stub.refused


def test_a_function_can_be_invoked_directly(stub: Runtime) -> None:
    assert stub.invoke("Open", {"a": "ö"})["body"] == json.dumps({"a": "ö"})
    with pytest.raises(FunctionError, match="Hopeless"):
        stub.invoke("Step", {"mode": "hopeless", "id": "direct"})


def test_no_port_of_the_host_takes_invocations(stub: Runtime) -> None:
    headers = {"X-Amzn-Lambda-Function-Name": stub.stack.functions["Open"].name}
    assert httpx.post(f"{stub.tools_url}/_invoke", json={}, headers=headers, timeout=35).status_code == 404


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
        stateMachineArn=stub.stack.machines["Machine"], input=json.dumps({"mode": mode, "id": uuid.uuid4().hex})
    )
    assert (execution["status"], json.loads(execution["output"])) == ("SUCCEEDED", output)


def test_executions_start_without_the_emulators_pause(stub: Runtime) -> None:
    stepfunctions = aws_client("stepfunctions", stub.emulator_url)

    def seconds() -> float:
        begun = time.monotonic()
        stepfunctions.start_sync_execution(
            stateMachineArn=stub.stack.machines["Machine"], input=json.dumps({"mode": "fine", "id": uuid.uuid4().hex})
        )
        return time.monotonic() - begun

    # With the pause none is so fast; without it one is, as soon as the machine is not busy elsewhere.
    assert any(seconds() < 0.15 for _ in range(200))


# The stand-ins


def test_the_echo_tool_says_what_it_got(stub: Runtime) -> None:
    assert httpx.post(f"{stub.tools_url}/echo", json={"a": 1}, timeout=35).json() == {"echo": {"a": 1}}
    assert httpx.get(f"{stub.tools_url}/echo", params={"a": "1"}, timeout=35).json() == {"echo": {"a": "1"}}


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


def test_a_data_folder_has_one_runtime(stub: Runtime, console: Callable[..., Console]) -> None:
    code, errors = console(data_dir=stub.data_dir).ended()
    assert code == 1
    assert re.fullmatch(rf"error: .+ is in use by another local runtime \(process {os.getpid()}\)\n", errors)
