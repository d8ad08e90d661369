"""Uploads on paper: the form of a request, the bucket, and the queue that tells the builder."""

import base64
import hashlib
import json
import uuid
from typing import Any
from urllib.parse import quote_plus

from shared.clients import aws, objects
from shared.domain import builds
from tests.unit.support.gateway import Answer, Api

Json = dict[str, Any]


def form(content: bytes, filename: str = "agent.tar.gz", field: str = "file") -> tuple[str, bytes]:
    """The content type and the body of a form with a file."""
    mark = uuid.uuid4().hex
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n\r\n'
    return f"multipart/form-data; boundary={mark}", head.encode() + content + f"\r\n--{mark}--\r\n".encode()


def send(api: Api, agent_id: str, content: bytes, **options: Any) -> Answer:
    """POST an archive as a browser does; the gateway makes base64 of it."""
    kind, body = form(content, **options)
    return post(api, agent_id, kind, body)


def post(api: Api, agent_id: str, kind: str, body: bytes) -> Answer:
    """POST a body as the gateway hands it on."""
    raw = base64.b64encode(body).decode()
    return api.post(f"/uploads/agent/{agent_id}", raw=raw, headers={"content-type": kind}, isBase64Encoded=True)


def announced(content: bytes, **changed: Any) -> Json:
    """What a client says of a file that it will upload by a form."""
    said = {"filename": "agent.tar.gz", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return said | changed


def arrives(key: str, content: bytes | None = None) -> None:
    """An object is in the bucket, if it is given, and the queue says so."""
    if content is not None:
        aws.s3().put_object(Bucket=objects.bucket(), Key=key, Body=content)
    told = {"Records": [{"s3": {"bucket": {"name": objects.bucket()}, "object": {"key": quote_plus(key, safe="/")}}}]}
    builds.answer({"body": json.dumps(told)})


def built(api: Api, agent_id: str, content: bytes) -> Json:
    """Upload an archive and let it be built; gives the version."""
    answer = send(api, agent_id, content)
    assert answer.status == 201, answer.text
    version: Json = answer.json
    arrives(f"uploads/{version['tenant_id']}/{version['tarball_path']}")
    found: Json = api.get(f"/agents/{agent_id}/versions/{version['version']}").json
    return found


def bundle(version: Json) -> bytes:
    """What was built of a version."""
    key = f"builds/{version['tenant_id']}/{version['tarball_path']}"
    found: bytes = aws.s3().get_object(Bucket=objects.bucket(), Key=key)["Body"].read()
    return found


def has_bundle(version: Json) -> bool:
    """Whether anything was built of a version."""
    key = f"builds/{version['tenant_id']}/{version['tarball_path']}"
    return "Contents" in aws.s3().list_objects_v2(Bucket=objects.bucket(), Prefix=key)
