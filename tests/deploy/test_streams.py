"""The streamed functions, which the emulator cannot call for want of Lambda Web Adapter: their scripts, unpacked as
they are uploaded, started here with the variables of the deployed function, the credentials of its role and Lambda's
Python, asked with its event.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.deploy import real_runtime
from tests.deploy.deployment import Deployed
from tests.deploy.real_runtime import Kit
from tests.deploy.worlds import World
from tests.house.repository import Function, functions, load_json

_STREAMED = [function for function in functions() if function.script]
_START_SECONDS = 60


@pytest.mark.parametrize("function", _STREAMED, ids=lambda function: function.name)
def test_a_streamed_function_succeeds_under_its_own_role(
    function: Function, built: Path, deployed: Deployed, the_world: World, tmp_path: Path
) -> None:
    the_world.make()
    before = len(deployed.refusals())
    event = load_json(function.event)
    headers = event["headers"] | {"x-amzn-request-context": json.dumps(event["requestContext"])}
    with (
        _server(function, Kit(built, deployed.python, tmp_path), deployed) as url,
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
def _server(function: Function, kit: Kit, stack: Deployed) -> Iterator[str]:
    """What the adapter does at a cold start: it runs the handler's script, and asks until the server is ready."""
    assert function.script
    package = real_runtime.unpacked(kit.built / function.logical_id, kit.scratch / "package")
    environment = _variables(function, package, kit, stack)
    # The template's is the same for all, and they share this machine.
    environment["AWS_LWA_PORT"] = str(real_runtime.free_port())
    log = kit.scratch / "log"
    server = real_runtime.start([f"{package}/{function.script.name}"], environment, Path("/"), log)
    url = f"http://127.0.0.1:{environment['AWS_LWA_PORT']}"
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _is_ready(url + environment["AWS_LWA_READINESS_CHECK_PATH"]):
            assert server.poll() is None, f"{function.name}: the server did not start: {log.read_text()}"
            assert time.monotonic() < deadline, f"{function.name}: the server is not ready: {log.read_text()}"
            time.sleep(0.05)
        yield url
    finally:
        real_runtime.stop(server)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.ConnectError:
        return False


def _variables(function: Function, package: Path, kit: Kit, stack: Deployed) -> dict[str, str]:
    """What Lambda puts into the function's environment, credentials included."""
    configuration = stack.client("lambda").get_function_configuration(FunctionName=stack.resources[function.logical_id])
    iam, role = stack.client("iam"), stack.resources[f"{function.logical_id}Role"]
    # Lambda alone may take the role on; for this once the account may, too. What the role may do stays the same.
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=document)
    taken = stack.client("sts").assume_role(RoleArn=configuration["Role"], RoleSessionName=function.logical_id)
    return {
        **kit.environment(package, configuration, stack.url),
        "AWS_ACCESS_KEY_ID": taken["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": taken["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": taken["Credentials"]["SessionToken"],
    }
