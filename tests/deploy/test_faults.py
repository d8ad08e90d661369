"""Tests of the tests: a fault of each kind in the deployed stack turns them red, and for its own reason."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import building, calls
from tests.deploy.deployment import Deployed
from tests.deploy.worlds import World

# It writes and reads the table, and is never released: nothing else calls it.
VICTIM = calls.named("agents/create")


@contextmanager
def _configured(stack: Deployed, **changes: Any) -> Iterator[None]:
    client, name = stack.client("lambda"), stack.resources[VICTIM.logical_id]
    before = client.get_function_configuration(FunctionName=name)
    kept = {"Handler": before["Handler"], "Layers": [layer["Arn"] for layer in before["Layers"]]}
    client.update_function_configuration(FunctionName=name, **changes)
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=name, **{key: kept[key] for key in changes})


@contextmanager
def _without(stack: Deployed, action: str) -> Iterator[None]:
    """The victim's role without an action."""
    iam, role = stack.client("iam"), stack.resources[f"{VICTIM.logical_id}Role"]
    policies = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]
    }
    assert action in json.dumps(policies)
    for name, policy in policies.items():
        spoilt = json.dumps(policy).replace(action, "dynamodb:DescribeTable")
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=spoilt)
    try:
        yield
    finally:
        for name, policy in policies.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(policy))


def test_without_a_fault_it_succeeds(deployed: Deployed, the_world: World) -> None:
    calls.succeed(VICTIM, deployed, the_world)


def test_a_removed_action_is_found(deployed: Deployed, the_world: World) -> None:
    with (
        _without(deployed, "dynamodb:PutItem"),
        pytest.raises(AssertionError, match=rf"IAM refused.*{VICTIM.logical_id}Role.*dynamodb:PutItem"),
    ):
        calls.succeed(VICTIM, deployed, the_world)


def test_a_misspelt_handler_is_found(deployed: Deployed, the_world: World) -> None:
    with (
        _configured(deployed, Handler="craete.handler"),
        pytest.raises(AssertionError, match="No module named 'craete'"),
    ):
        calls.succeed(VICTIM, deployed, the_world)


def test_a_package_left_out_of_the_layer_is_found(built: Path, deployed: Deployed, the_world: World) -> None:
    with (
        _configured(deployed, Layers=[_layer(built, deployed, without="pydantic")]),
        pytest.raises(AssertionError, match="No module named 'pydantic'"),
    ):
        calls.succeed(VICTIM, deployed, the_world)


def _layer(built: Path, stack: Deployed, without: str) -> str:
    folder, packed = built / building.LAYER, io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for file in folder.rglob("*"):
            if file.is_file() and file.relative_to(folder).parts[1] != without:
                made.write(file, file.relative_to(folder))
    s3 = stack.client("s3")
    s3.create_bucket(Bucket="spoilt")
    s3.put_object(Bucket="spoilt", Key="layer.zip", Body=packed.getvalue())
    content = {"S3Bucket": "spoilt", "S3Key": "layer.zip"}
    published = stack.client("lambda").publish_layer_version(LayerName="spoilt", Content=content)
    return str(published["LayerVersionArn"])
