"""The streamed functions, which the emulator cannot call for want of Lambda Web Adapter: their packed scripts, started
here with the variables of the deployed function, the credentials of its role and Lambda's Python, asked with its event.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from local.emulator import REGION
from shared.api.stream import READY_PATH
from tests.deploy import building
from tests.deploy.deployment import Deployed
from tests.deploy.worlds import World
from tests.house.repository import Function, functions, load_json

_STREAMED = [function for function in functions() if function.script]
_START_SECONDS = 60


@pytest.mark.parametrize("function", _STREAMED, ids=lambda function: function.name)
def test_a_streamed_function_succeeds_under_its_own_role(
    function: Function, built: Path, deployed: Deployed, the_world: World
) -> None:
    the_world.make()
    before = len(deployed.refusals())
    event = load_json(function.event)
    headers = event["headers"] | {"x-amzn-request-context": json.dumps(event["requestContext"])}
    with (
        _server(function, built, deployed) as url,
        httpx.Client(base_url=url, timeout=_START_SECONDS) as client,
        client.stream(event["httpMethod"], event["path"], content=event["body"], headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"] == "text/event-stream"
        events = []
        for line in answer.iter_lines():
            events += [line.removeprefix("event: ")] if line.startswith("event: ") else []
            # The run that is followed has no end in its world.
            if "result" in events or event["httpMethod"] == "GET":
                break
    assert deployed.refusals()[before:] == []
    deployed.called.add(function.logical_id)


@contextmanager
def _server(function: Function, built: Path, stack: Deployed) -> Iterator[str]:
    assert function.script
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    environment = _variables(function, stack) | {
        "AWS_ENDPOINT_URL": stack.url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LWA_PORT": str(port),
        "PATH": f"{stack.python.parent}:{os.defpath}",
        "PYTHONPATH": str(built / building.LAYER / "python"),
    }
    script = built / function.logical_id / function.script.name
    server = subprocess.Popen([script], env=environment, cwd="/", stdin=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(url):
            assert server.poll() is None, f"{function.name}: the server did not start"
            assert time.monotonic() < deadline, f"{function.name}: the server is not ready"
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(_START_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + READY_PATH).status_code == 204
    except httpx.ConnectError:
        return False


def _variables(function: Function, stack: Deployed) -> dict[str, str]:
    """What Lambda puts into the function's environment, credentials included."""
    configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.resources[function.logical_id])
    iam, role = stack.client("iam"), stack.resources[f"{function.logical_id}Role"]
    # Lambda alone may take the role on; for this once the account may, too. What the role may do stays the same.
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    taken = stack.client("sts").assume_role(RoleArn=configuration["Role"], RoleSessionName=function.logical_id)
    return {
        **configuration["Environment"]["Variables"],
        "AWS_ACCESS_KEY_ID": taken["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": taken["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": taken["Credentials"]["SessionToken"],
        "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
    }
