"""`python -m operations.rotate_secret`: new secrets, and nobody is signed out."""

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.deploy import client
from local.runtime import Runtime
from tests.integration import operator_commands as operator
from tests.integration.neighbours import Neighbours
from tests.integration.running import new_tenant

_number = count()


@pytest.fixture
def fresh_environments(platform: Runtime) -> Iterator[Callable[[], None]]:
    """Makes the functions read their secrets anew, as new environments do; in the end, too, for the other tests."""

    def begin() -> None:
        # The runtime has its own copy of the layer.
        sys.modules["shared.clients.secrets"].ring.cache_clear()

    yield begin
    begin()


def status(platform: Runtime, key: str) -> int:
    return httpx.get(f"{platform.url}/agents", headers={"X-API-Key": key}, timeout=35).status_code


def bearer(platform: Runtime, token: str) -> int:
    return httpx.get(f"{platform.url}/auth/me", headers={"Authorization": f"Bearer {token}"}, timeout=35).status_code


def entry(platform: Runtime, key: str) -> dict[str, Any]:
    """What the directory holds of a key."""
    table = platform.stack.resources["Table"]
    wanted: Any = {"pk": {"S": f"KEY#{key.split('_')[2]}"}, "sk": {"S": "KEY"}}
    item = client("dynamodb", platform.emulator_url).get_item(TableName=table, Key=wanted, ConsistentRead=True)["Item"]
    return {"version": int(item["version"]["N"]), **json.loads(item["doc"]["S"])}


def stages(platform: Runtime, logical_id: str) -> dict[str, str]:
    vault = client("secretsmanager", platform.emulator_url)
    listed = vault.list_secret_version_ids(SecretId=platform.stack.resources[logical_id])["Versions"]
    return {stage: version["VersionId"] for version in listed for stage in version["VersionStages"]}


def rotated(platform: Runtime, which: str) -> None:
    """Rotate a secret, whatever was rotated before by other tests."""
    logical_id = {"pepper": "KeyPepper", "jwt": "JwtSecret"}[which]
    before = stages(platform, logical_id)
    said = operator.done(platform, "rotate_secret", which)
    assert "--yes" in said
    assert stages(platform, logical_id) == before, "nothing without --yes"
    assert "within 5 minutes" in operator.done(platform, "rotate_secret", which, "--yes")
    after = stages(platform, logical_id)
    assert after["AWSPREVIOUS"] == before["AWSCURRENT"] != after["AWSCURRENT"]


def test_a_new_pepper_ends_no_key(platform: Runtime, tmp_path: Path, fresh_environments: Callable[[], None]) -> None:
    tenant = f"peppered-{next(_number)}"
    old = new_tenant(platform, tenant)
    made = httpx.post(f"{platform.url}/api-keys", headers={"X-API-Key": old}, json={}, timeout=35).json()
    revoked = httpx.post(f"{platform.url}/api-keys", headers={"X-API-Key": old}, json={}, timeout=35).json()
    path = f"{platform.url}/api-keys/{revoked['id']}"
    assert httpx.delete(path, headers={"X-API-Key": old}, timeout=35).status_code == 204
    before = entry(platform, made["key"])
    rotated(platform, "pepper")

    # Warm environments know the old pepper only; the command makes a key by the new one.
    file = tmp_path / "key"
    operator.done(platform, "first_tenant", "--tenant", f"{tenant}-op", "--key-file", str(file))
    new = operator.key_of(file)
    assert entry(platform, new)["pepper"] != before["pepper"]
    assert status(platform, new) == 200
    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda _: status(platform, made["key"]), range(32))) == {200}
    after = entry(platform, made["key"])
    assert (after["pepper"], after["version"]) == (entry(platform, new)["pepper"], before["version"] + 1)
    assert after["hash"] != before["hash"]
    assert status(platform, revoked["key"]) == 401
    assert status(platform, made["key"][:-1] + ("x" if made["key"][-1] != "x" else "y")) == 401

    # At once a second time would be the end of what is under way.
    assert "Wait, or --now" in operator.refusal(platform, "rotate_secret", "pepper", "--yes")
    unused = operator.refusal(platform, "rotate_secret", "pepper", "--yes", "--now")
    assert "They would end" in unused
    assert stages(platform, "KeyPepper")["AWSCURRENT"] != stages(platform, "KeyPepper")["AWSPREVIOUS"]


def test_a_new_jwt_secret_signs_nobody_out(platform: Runtime, fresh_environments: Callable[[], None]) -> None:
    name = f"rolled{next(_number)}"
    draft = {"email": f"{name}@example.com", "username": name, "password": "correct horse battery"}
    with httpx.Client(base_url=platform.url, timeout=35) as api:
        assert api.post("/auth/register", json=draft).status_code == 201
        fresh_environments()
        login = {"username": name, "password": draft["password"]}
        before = api.post("/auth/login", json=login).json()
        rotated(platform, "jwt")
        assert bearer(platform, before["access_token"]) == 200
        fresh_environments()
        assert bearer(platform, before["access_token"]) == 200
        renewed = api.post("/auth/refresh", json={"refresh_token": before["refresh_token"]})
        assert renewed.status_code == 200, renewed.text
        after = renewed.json()["access_token"]
        assert after.split(".")[0] != before["access_token"].split(".")[0], "signed by another secret"
        assert (bearer(platform, after), bearer(platform, before["access_token"])) == (200, 200)
        assert "Wait, or --now" in operator.refusal(platform, "rotate_secret", "jwt", "--yes")


def test_a_tools_secret_is_put_in_without_a_deployment(
    platform: Runtime, api: httpx.Client, neighbours: Neighbours, fresh_environments: Callable[[], None]
) -> None:
    """As docs/operations.md says: the worker that calls and `validate` read it by their own roles."""
    reference, path = f"VAULT_{next(_number)}", "/tool/mirror/vault"
    draft = {"name": reference.lower(), "endpoint": neighbours.url + path, "auth_type": "api_key"}
    tool = api.post("/tools", json=draft).json()["id"]

    def validated() -> bool:
        return bool(api.post(f"/tools/{tool}/validate", json={"secrets_ref": reference}).json()["valid"])

    assert not validated()
    vault = client("secretsmanager", platform.emulator_url)
    vault.put_secret_value(
        SecretId=platform.stack.resources["ToolSecrets"], SecretString=json.dumps({reference: "s3cr3t of the vault"})
    )
    fresh_environments()
    assert validated()
    run = api.post(f"/tools/{tool}/execute", json={"args": {}, "secrets_ref": reference}).json()
    assert run["status"] == "succeeded", run
    assert neighbours.seen[path][-1][0]["authorization"] == "Bearer s3cr3t of the vault"
    assert "s3cr3t" not in json.dumps(run)
