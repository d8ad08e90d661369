"""Code agents over HTTP: uploaded, built, downloaded again; and forms of which S3 takes no other."""

import base64
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config

from local.emulator import REGION
from local.runtime import Runtime
from tests.integration.test_audit import of_a_new_tenant
from tests.unit.domain.test_archives import HOSTILE
from tests.unit.support import tarballs

pytestmark = pytest.mark.covers(
    "POST /uploads/agent/{agent_id}",
    "GET /uploads/agents/{agent_id}/artifacts/{filename}",
    "GET /logs/{agent_id}",
    "GET /logs/executions/{execution_id}/logs",
    "GET /agents/{agent_ref}/logs",
    "POST /agents/{agent_ref}/logs",
)

CODE = tarballs.agent()
EXAMPLE = Path(__file__).parents[2] / "examples" / "code-agent"
Json = dict[str, Any]


@pytest.fixture
def client(platform: Runtime) -> Iterator[httpx.Client]:
    with of_a_new_tenant(platform) as made:
        yield made


@pytest.fixture
def agent(client: httpx.Client) -> str:
    answer = client.post("/agents", json={"name": f"code {uuid.uuid4()}"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def send(
    client: httpx.Client, agent: str, content: bytes, name: str = "agent.tar.gz", **options: Any
) -> httpx.Response:
    return client.post(f"/uploads/agent/{agent}", files={"file": (name, io.BytesIO(content))}, **options)


def announce(client: httpx.Client, agent: str, content: bytes) -> Json:
    said = {"filename": "agent.tar.gz", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    answer = client.post(f"/uploads/agent/{agent}", json=said)
    assert answer.status_code == 201, answer.text
    version: Json = answer.json()
    return version


def built(client: httpx.Client, version: Json) -> Json:
    """The version when its build has ended, as document 2 has its clients wait for it."""
    deadline = time.monotonic() + 60
    while True:
        found: Json = client.get(f"/agents/{version['agent_id']}/versions/{version['version']}").json()
        if found["status"] in {"ready", "failed"}:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_an_agent_is_uploaded_built_and_downloaded(client: httpx.Client, agent: str, other_api: httpx.Client) -> None:
    answer = send(client, agent, CODE)
    assert answer.status_code == 201, answer.text
    version = built(client, answer.json())
    assert version["status"] == "ready", version["build_log"]
    assert version["entrypoint"] == "agent.main:handle"
    found = client.get(f"/agents/{agent}").json()
    assert (found["kind"], found["status"], found["current_version_id"]) == ("code", "ready", version["id"])
    path = f"/uploads/{version['tarball_path']}"
    downloaded = client.get(path, follow_redirects=True)
    assert (downloaded.status_code, downloaded.content) == (200, CODE)
    assert downloaded.headers["content-disposition"] == 'attachment; filename="v1.tar.gz"'
    assert other_api.get(path).status_code == 404
    lines = client.get(f"/logs/{agent}").json()
    assert lines[-1]["message"] == "Build of v1 ended: ready."
    assert other_api.get(f"/logs/{agent}").status_code == 404


def packed(client: httpx.Client, folder: Path, agent: str, out: Path) -> subprocess.CompletedProcess[str]:
    key = client.headers["X-API-Key"]
    options = ["--out", out, "--url", client.base_url, "--key", key, "--agent", agent]
    command = [sys.executable, EXAMPLE / "pack.py", folder, *options]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("more", [0, 5_000_000], ids=["with the request", "by a form"])
def test_the_packer_uploads_and_waits(client: httpx.Client, agent: str, tmp_path: Path, more: int) -> None:
    folder = tmp_path / "agent"
    shutil.copytree(EXAMPLE, folder)
    if more:
        (folder / "more.bin").write_bytes(random.randbytes(more))
    ran = packed(client, folder, agent, tmp_path / "out.tar.gz")
    assert ran.returncode == 0, ran.stderr
    assert "v1: ready" in ran.stdout
    assert ("uploaded 100 %" in ran.stdout) == bool(more)
    assert ran.stdout.rstrip().endswith("Build of v1 ended: ready.")
    first = (tmp_path / "out.tar.gz").read_bytes()
    assert packed(client, folder, agent, tmp_path / "again.tar.gz").returncode == 0
    assert (tmp_path / "again.tar.gz").read_bytes() == first


def test_the_packer_says_why_a_build_failed(client: httpx.Client, agent: str, tmp_path: Path) -> None:
    (tmp_path / "anymind.yaml").write_text("name: x\nentrypoint: agent.main:handle\n")
    ran = packed(client, tmp_path, agent, tmp_path / "out.tar.gz")
    assert ran.returncode == 1
    assert "no_entrypoint: There is no agent/main.py" in ran.stdout


def test_a_link_cannot_be_made_to_lead_elsewhere(client: httpx.Client, agent: str) -> None:
    version = built(client, send(client, agent, CODE).json())
    link = client.get(f"/uploads/{version['tarball_path']}").headers["location"]
    assert httpx.get(link).content == CODE
    for altered in (
        link.replace("/uploads/", "/builds/"),
        link.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        link.replace(agent, str(uuid.uuid4())),
    ):
        assert altered != link
        assert httpx.get(altered).status_code in {403, 404}


def post_form(form: Json, changed: Mapping[str, str | None] | None = None, content: bytes = CODE) -> httpx.Response:
    fields = {name: value for name, value in (form["fields"] | dict(changed or {})).items() if value is not None}
    return httpx.post(form["url"], data=fields, files={"file": ("agent.tar.gz", io.BytesIO(content))}, timeout=60)


def test_a_form_uploads_the_announced_file(client: httpx.Client, agent: str) -> None:
    version = announce(client, agent, CODE)
    assert post_form(version["upload"]).status_code == 204
    assert built(client, version)["status"] == "ready"


def _policy(form: Json, change: Callable[[Json], None]) -> str:
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    change(policy)
    return base64.b64encode(json.dumps(policy).encode()).decode()


def _longer(policy: Json) -> None:
    policy["expiration"] = "2099-01-01T00:00:00Z"


def _wider(policy: Json) -> None:
    policy["conditions"] = [one for one in policy["conditions"] if not isinstance(one, list)]


REFUSED: dict[str, Callable[[Json], httpx.Response]] = {
    "one byte more": lambda form: post_form(form, content=CODE + b"\0"),
    "one byte less": lambda form: post_form(form, content=CODE[:-1]),
    "the place of another tenant": lambda form: post_form(
        form, {"key": form["fields"]["key"].replace("uploads/", "uploads/tenant_theirs/")}
    ),
    "another content type": lambda form: post_form(form, {"Content-Type": "text/html"}),
    "no checksum": lambda form: post_form(form, {"x-amz-checksum-sha256": None}),
    "a field more": lambda form: post_form(form, {"acl": "public-read"}),
    "a policy that lasts longer": lambda form: post_form(form, {"policy": _policy(form, _longer)}),
    "a policy that takes more": lambda form: post_form(form, {"policy": _policy(form, _wider)}, CODE + b"\0"),
    "a signature of nobody": lambda form: post_form(form, {"x-amz-signature": "0" * 64}),
    "no signature": lambda form: post_form(
        form,
        dict.fromkeys(("x-amz-signature", "x-amz-credential", "x-amz-algorithm", "x-amz-date", "policy")),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_form_takes_nothing_else(client: httpx.Client, agent: str, name: str) -> None:
    version = announce(client, agent, CODE)
    answer = REFUSED[name](version["upload"])
    assert answer.status_code in {400, 403}, answer.text
    assert client.get(f"/agents/{agent}/versions/v1").json()["status"] == "queued"


def test_a_form_that_has_expired_is_refused(client: httpx.Client, agent: str) -> None:
    version = announce(client, agent, CODE)
    form = version["upload"]
    signer = boto3.Session().client(
        "s3",
        endpoint_url=form["url"].rpartition("/")[0],
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(signature_version="s3v4"),
    )
    bucket = form["url"].rpartition("/")[2]
    fields = {
        name: form["fields"][name] for name in ("Content-Type", "x-amz-checksum-algorithm", "x-amz-checksum-sha256")
    }
    conditions = [{name: value} for name, value in fields.items()]
    for seconds, status in ((-1, 403), (60, 204)):
        made = signer.generate_presigned_post(
            bucket, form["fields"]["key"], Fields=dict(fields), Conditions=conditions, ExpiresIn=seconds
        )
        assert post_form(made).status_code == status
    assert built(client, version)["status"] == "ready"


def test_another_file_of_the_same_size_is_not_built(client: httpx.Client, agent: str) -> None:
    """The emulator does not look at the checksum, as S3 does; the builder does."""
    version = announce(client, agent, CODE)
    assert post_form(version["upload"], content=bytes(len(CODE))).status_code == 204
    found = built(client, version)
    assert (found["status"], "wrong_sha256" in found["build_log"]) == ("failed", True)


@pytest.mark.parametrize(
    "name", ["100,000 members", "a link and a file through it", "a name that climbs", "a bomb in one file"]
)
def test_hostile_archives_are_refused_by_their_reason(client: httpx.Client, agent: str, name: str) -> None:
    make, reason = HOSTILE[name]
    version = built(client, send(client, agent, make()).json())
    assert version["status"] == "failed"
    assert f"The archive is refused. {reason}: " in version["build_log"]
    assert client.get(f"/agents/{agent}").json()["status"] == "failed"


def test_what_the_gateway_does_not_carry_is_refused(client: httpx.Client, agent: str) -> None:
    for size in (5_000_000, 11_000_000):
        answer = send(client, agent, b"\x1f\x8b" + bytes(size))
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert client.get(f"/agents/{agent}/versions").json() == []


def test_refusals_leave_no_key_behind(client: httpx.Client, agent: str) -> None:
    once = {"Idempotency-Key": str(uuid.uuid4())}
    for _ in range(2):
        answer = send(client, agent, CODE, "agent.zip", headers=once)
        assert (answer.status_code, answer.json()["detail"]) == (400, "File must be a .tar.gz archive")
        assert client.post("/agents/nobody/logs", json={"message": "x"}, headers=once).status_code == 404
    first, second = (send(client, agent, CODE, headers=once).json() for _ in range(2))
    assert first["id"] == second["id"]


def test_lines_are_written_and_followed(client: httpx.Client, agent: str) -> None:
    path = f"/agents/{agent}/logs"
    first = client.post(path, json={"message": "one"}).json()
    client.post(path, json={"message": "two", "level": "ERROR"})
    assert [line["message"] for line in client.get(path).json()] == ["one", "two"]
    followed = client.get(f"/logs/{agent}", params={"after": first["id"]}).json()
    assert [(line["message"], line["level"], line["source"]) for line in followed] == [("two", "ERROR", "client")]
    run = client.post("/agents", json={"name": "model"}).json()
    made = client.post("/runs", json={"agent_id": run["id"], "input_message": "Hello"}).json()
    assert client.get(f"/logs/executions/{made['id']}/logs").json() == []
