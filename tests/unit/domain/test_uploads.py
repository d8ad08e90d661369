"""Uploads: with the request or by a form, nobody else's, and nothing but archives."""

import base64
import json
from collections.abc import Callable

import pytest

from shared.clients import aws, objects
from tests.unit.support import tarballs, uploads
from tests.unit.support.gateway import Api

CODE = tarballs.agent()


@pytest.fixture
def agent(api: Api) -> str:
    return str(api.make("/agents", name="parrot", kind="code")["id"])


def test_a_file_in_the_request_makes_a_version(api: Api, agent: str) -> None:
    answer = uploads.send(api, agent, CODE)
    assert answer.status == 201
    assert answer.headers["location"] == f"/agents/{agent}/versions/v1"
    version = answer.json
    assert (version["version"], version["status"], version["size"]) == ("v1", "queued", len(CODE))
    assert version["tarball_path"] == f"agents/{agent}/artifacts/v1.tar.gz"
    assert [version[name] for name in ("build_log", "entrypoint", "config", "upload")] == [None] * 4
    stored = aws.s3().get_object(Bucket=objects.bucket(), Key=f"uploads/tenant_a/{version['tarball_path']}")
    assert stored["Body"].read() == CODE
    assert api.get(f"/agents/{agent}").json["status"] == "building"


def test_versions_are_counted(api: Api, agent: str) -> None:
    made = [uploads.send(api, agent, CODE).json["version"] for _ in range(3)]
    assert made == ["v1", "v2", "v3"]
    listed = api.get(f"/agents/{agent}/versions").json
    assert [(one["version"], one["kind"]) for one in listed] == [("v3", "code"), ("v2", "code"), ("v1", "code")]
    assert api.get(f"/agents/{agent}/versions/2").json == api.get(f"/agents/{agent}/versions/v2").json


def test_an_agent_with_nothing_but_a_name_takes_code(api: Api) -> None:
    """Document 2 makes agents without a kind."""
    made = api.make("/agents", name="plain")
    assert made["kind"] == "llm"
    assert uploads.send(api, "plain", CODE).status == 201
    assert api.get("/agents/plain").json["kind"] == "code"


def test_an_agent_with_a_model_takes_none(api: Api) -> None:
    api.make("/agents", name="model", status="published")
    answer = uploads.send(api, "model", CODE)
    assert (answer.status, answer.code) == (409, "not_a_code_agent")
    api.patch("/agents/model", {"status": "archived"})
    assert uploads.send(api, "model", CODE).code == "agent_archived"


def test_code_is_published_by_uploads_and_stays_code(api: Api, agent: str) -> None:
    assert api.post(f"/agents/{agent}/publish").code == "code_agent"
    assert api.patch(f"/agents/{agent}", {"status": "published"}).code == "code_agent"
    assert api.post("/agents", {"name": "x", "kind": "code", "status": "published"}).code == "code_agent"
    assert api.patch(f"/agents/{agent}", {"kind": "llm"}).code == "kind_fixed"
    replaced = api.put(f"/agents/{agent}", {"name": "parrot", "role": "r"})
    assert (replaced.status, replaced.json["kind"]) == (200, "code")
    assert api.post("/runs", {"agent_id": agent, "input_message": "x"}).status == 409


@pytest.mark.parametrize("name", ["agent.zip", "agent.tar", "agent.tgz", "tar.gz.exe", "tar.gz"])
def test_other_endings_are_refused(api: Api, agent: str, name: str) -> None:
    for answer in (
        uploads.send(api, agent, CODE, filename=name),
        api.post(f"/uploads/agent/{agent}", uploads.announced(CODE, filename=name)),
    ):
        assert (answer.status, answer.json["detail"]) == (400, "File must be a .tar.gz archive")
    assert api.get(f"/agents/{agent}/versions").json == []


def test_what_is_no_gzip_is_refused_at_once(api: Api, agent: str) -> None:
    answer = uploads.send(api, agent, b"PK\x03\x04")
    assert (answer.status, answer.json["detail"]) == (400, "File must be a .tar.gz archive")


def test_a_form_takes_exactly_the_announced_file(api: Api, agent: str) -> None:
    answer = api.post(f"/uploads/agent/{agent}", uploads.announced(CODE))
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    version, form = answer.json, answer.json["upload"]
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    said = {name: value for one in policy["conditions"] if isinstance(one, dict) for name, value in one.items()}
    assert said["bucket"] == objects.bucket()
    assert said["key"] == form["fields"]["key"] == f"uploads/tenant_a/{version['tarball_path']}"
    assert said["Content-Type"] == form["fields"]["Content-Type"] == "application/gzip"
    assert base64.b64decode(said["x-amz-checksum-sha256"]).hex() == uploads.announced(CODE)["sha256"]
    assert ["content-length-range", len(CODE), len(CODE)] in policy["conditions"]
    assert policy["expiration"][:18] == form["expires_at"][:18]
    assert api.get(f"/agents/{agent}").json["status"] == "draft"


def test_the_largest_file_and_one_byte_more(api: Api, agent: str) -> None:
    path, most = f"/uploads/agent/{agent}", 104_857_600
    assert api.post(path, uploads.announced(CODE, size=most)).status == 201
    answer = api.post(path, uploads.announced(CODE, size=most + 1))
    assert (answer.status, answer.code) == (413, "payload_too_large")


@pytest.mark.parametrize(
    "changed",
    [
        {"size": 0},
        {"size": "1"},
        {"size": True},
        {"sha256": "0" * 63},
        {"sha256": "Z" * 64},
        {"filename": ""},
        {"more": 1},
    ],
)
def test_what_is_announced_wrongly_is_refused(api: Api, agent: str, changed: dict[str, object]) -> None:
    assert api.post(f"/uploads/agent/{agent}", uploads.announced(CODE, **changed)).status == 422


def test_a_repeated_request_meets_its_own_version(api: Api, agent: str) -> None:
    path, said, once = f"/uploads/agent/{agent}", uploads.announced(CODE), {"idempotency-key": "once"}
    first, second = (api.post(path, said, headers=once) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] == second.json["id"]
    # The form is shown once and made anew, so it is worth what it was.
    assert second.json["upload"]["fields"]["key"] == first.json["upload"]["fields"]["key"]
    assert len(api.get(f"/agents/{agent}/versions").json) == 1
    kind, body = uploads.form(CODE)
    raw = base64.b64encode(body).decode()
    options = {"raw": raw, "headers": {"content-type": kind, "idempotency-key": "file"}, "isBase64Encoded": True}
    versions = [api.post(path, **options).json["version"] for _ in range(2)]
    assert versions == ["v2", "v2"]


def test_nobody_uploads_to_anothers_agent(api: Api, other: Api, agent: str) -> None:
    assert uploads.send(other, agent, CODE).status == 404
    assert other.post(f"/uploads/agent/{agent}", uploads.announced(CODE)).status == 404
    reader = api.as_(scopes="agents:read")
    assert uploads.send(reader, agent, CODE).status == 403


def test_a_download_is_a_link_to_ones_own_file(api: Api, other: Api, agent: str) -> None:
    uploads.send(api, agent, CODE)
    path = f"/uploads/agents/{agent}/artifacts/v1.tar.gz"
    answer = api.get(path)
    assert (answer.status, answer.text) == (302, "")
    assert f"/uploads/tenant_a/agents/{agent}/artifacts/v1.tar.gz?" in answer.headers["location"]
    assert "X-Amz-Expires=60" in answer.headers["location"]
    assert answer.headers["cache-control"] == "no-store"
    assert other.get(path).status == 404
    for wrong in ("v2.tar.gz", "v01.tar.gz", "V1.tar.gz", "v1.zip", "..%2F..%2Fv1.tar.gz", "%2e%2e"):
        assert api.get(f"/uploads/agents/{agent}/artifacts/{wrong}").status == 404
    for name in ("parrot", "..", "%2e%2e%2ftenant_b"):
        assert api.get(f"/uploads/agents/{name}/artifacts/v1.tar.gz").status == 404


def test_an_upload_that_never_comes_has_failed(api: Api, agent: str, travel: Callable[[float], None]) -> None:
    api.post(f"/uploads/agent/{agent}", uploads.announced(CODE))
    assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "queued"
    travel(3_600 + 601)
    version = api.get(f"/agents/{agent}/versions/v1").json
    assert (version["status"], version["build_log"]) == ("failed", "Nothing was uploaded in time.")
    assert [one["status"] for one in api.get(f"/agents/{agent}/versions").json] == ["failed"]


def test_a_file_that_the_bucket_does_not_take_has_failed(api: Api, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ConnectionError("no bucket")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "put", broken)
        assert uploads.send(api, agent, CODE).status == 500
    version = api.get(f"/agents/{agent}/versions/v1").json
    assert (version["status"], version["build_log"]) == ("failed", "The upload could not be kept; try again.")
    assert api.get(f"/agents/{agent}").json["status"] == "failed"
    assert uploads.built(api, agent, CODE)["status"] == "ready"
    assert api.get(f"/agents/{agent}").json["status"] == "ready"


def test_a_file_that_arrived_although_nobody_heard_is_built(
    api: Api, agent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = objects.put

    def unheard(key: str, content: bytes, content_type: str, sha256: str) -> None:
        put(key, content, content_type, sha256)
        monkeypatch.setattr(objects, "put", put)
        uploads.arrives(key)
        raise ConnectionError("no answer")

    monkeypatch.setattr(objects, "put", unheard)
    assert uploads.send(api, agent, CODE).status == 500
    assert api.get(f"/agents/{agent}/versions/v1").json["status"] == "ready"
    assert api.get(f"/agents/{agent}").json["status"] == "ready"
