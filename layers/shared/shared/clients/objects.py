"""The bucket of uploads and what is built of them. Keys begin with what the thing is, then with the tenant."""

import base64
import os
from typing import IO, Any

from shared.clients import aws

_PIECE_BYTES = 262_144


class TooLarge(Exception):
    """An object has more bytes than were asked for."""


def put(key: str, content: bytes | IO[bytes], content_type: str, sha256: str) -> None:
    """Write an object whole; 1 request.

    Args:
        sha256: of the content, in hexadecimal; S3 refuses any other.
    """
    aws.s3().put_object(
        Bucket=bucket(), Key=key, Body=content, ContentType=content_type, ChecksumSHA256=_base64(sha256)
    )


def fetch(key: str, into: IO[bytes], limit: int) -> None:
    """Read an object into a file; 1 request.

    Raises:
        TooLarge: it has more bytes than the limit.
        FileNotFoundError: there is no such object.
    """
    client = aws.s3()
    try:
        answer = client.get_object(Bucket=bucket(), Key=key)
    except client.exceptions.NoSuchKey as error:
        raise FileNotFoundError(key) from error
    if answer["ContentLength"] > limit:
        raise TooLarge(key)
    for piece in answer["Body"].iter_chunks(_PIECE_BYTES):
        into.write(piece)


def form(key: str, content_type: str, size: int, sha256: str, seconds: int) -> dict[str, Any]:
    """What a client POSTs as a form to upload exactly that: `{"url", "fields"}`; no request.

    The form holds for one key, type, size and content, and is worthless to anybody who has something else.
    """
    fields = {
        "Content-Type": content_type,
        "x-amz-checksum-algorithm": "SHA256",
        "x-amz-checksum-sha256": _base64(sha256),
    }
    conditions = [*({name: value} for name, value in fields.items()), ["content-length-range", size, size]]
    made: dict[str, Any] = aws.s3().generate_presigned_post(
        Bucket=bucket(), Key=key, Fields=dict(fields), Conditions=conditions, ExpiresIn=seconds
    )
    return made


def link(key: str, filename: str, seconds: int) -> str:
    """An address under which anybody may read an object for that long; no request."""
    params = {
        "Bucket": bucket(),
        "Key": key,
        "ResponseContentDisposition": f'attachment; filename="{filename}"',
        "ResponseContentType": "application/gzip",
    }
    return aws.s3().generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)


def remove_all(tenant_id: str) -> int:
    """Delete all that a tenant uploaded, and what was built of it; 1 request to find and 1 to delete each 1,000.

    Returns:
        How many objects there were.

    Raises:
        OSError: S3 kept some; it may be asked again.
    """
    count = 0
    for prefix in (f"uploads/{tenant_id}/", f"builds/{tenant_id}/"):
        for page in aws.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket(), Prefix=prefix):
            found: Any = [{"Key": one["Key"]} for one in page.get("Contents", [])]
            if not found:
                continue
            answer = aws.s3().delete_objects(Bucket=bucket(), Delete={"Objects": found, "Quiet": True})
            if answer.get("Errors"):
                raise OSError(f"S3 kept {len(answer['Errors'])} objects")
            count += len(found)
    return count


def bucket() -> str:
    """The bucket's name."""
    return os.environ["UPLOADS_BUCKET"]


def _base64(sha256: str) -> str:
    return base64.b64encode(bytes.fromhex(sha256)).decode()
