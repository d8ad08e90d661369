"""A file that comes with a request: `multipart/form-data` with one field `file` (RFC 7578).

The edge and other functions know nothing of it: a route for files brings it.
"""

import base64
import binascii
import hashlib
import json
import re
from typing import Any

from aws_lambda_powertools.event_handler import Depends, Request

from shared.errors import BadRequest

_MULTIPART = "multipart/form-data"
_MAX_PARTS = 20
_BOUNDARY = re.compile(r'(?i:boundary)=(?:"([^"]{1,70})"|([^\s;"]{1,70}))')
_NAME = re.compile(r'[; ]name="?file"?(?:;|$)')
_FILENAME = re.compile(r'[; ]filename="([^"]*)"')


class UploadedFile(Depends):
    """The bytes of the file that came with the request, if one did."""

    def __init__(self) -> None:
        super().__init__(self.resolve, use_cache=False)

    def resolve(self, request: Request) -> bytes | None:
        """What the edge found in the request."""
        content: bytes | None = request.context.get("file")
        return content


def uploaded() -> UploadedFile:
    """Declares a handler's parameter that takes the file: `Annotated[bytes | None, uploaded()]`."""
    return UploadedFile()


def take_file(event: dict[str, Any]) -> bytes | None:
    """The file that came with a request, whose body then says what a client would say of it in JSON.

    Raises:
        BadRequest: see `read_form`.
    """
    headers: dict[str, str] = event.get("headers") or {}
    content_type = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    if content_type.partition(";")[0].strip().lower() != _MULTIPART:
        return None
    name, content = read_form(event.get("body") or "", content_type, is_base64=bool(event.get("isBase64Encoded")))
    # Whatever the rest of a name may be, only its ending is looked at.
    said = {"filename": name[-255:], "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    others = {name: value for name, value in headers.items() if name.lower() != "content-type"}
    event["headers"] = others | {"content-type": "application/json"}
    event |= {"body": json.dumps(said), "isBase64Encoded": False}
    event.pop("multiValueHeaders", None)
    return content


def read_form(body: str, content_type: str, *, is_base64: bool) -> tuple[str, bytes]:
    """Name and content of the file of a form.

    Raises:
        BadRequest: the body is no such form, or has not one file.
    """
    boundary = _BOUNDARY.search(content_type)
    try:
        raw = base64.b64decode(body, validate=True) if is_base64 else body.encode("utf-8")
    except (binascii.Error, ValueError):
        raise BadRequest("The body is not a form.", code="invalid_form") from None
    if boundary is None:
        raise BadRequest("The form does not name its boundary.", code="invalid_form")
    mark = b"\r\n--" + (boundary[1] or boundary[2]).encode()
    _, *parts = (b"\r\n" + raw).split(mark, _MAX_PARTS)
    found = [file for file in map(_file, parts) if file is not None]
    if not parts or not parts[-1].startswith(b"--") or len(found) != 1:
        raise BadRequest("The form must have one field `file`, with the file's name.", code="invalid_form")
    return found[0]


def _file(part: bytes) -> tuple[str, bytes] | None:
    """Name and content of the part that is the file; None for any other part."""
    head, blank, content = part.partition(b"\r\n\r\n")
    for line in head.decode("utf-8", "replace").split("\r\n"):
        kind, _, said = line.partition(":")
        if kind.strip().lower() == "content-disposition" and blank and _NAME.search(said):
            filename = _FILENAME.search(said)
            return (filename[1], content) if filename else None
    return None
