"""A file that comes with a request: `multipart/form-data` with one field `file` (RFC 7578)."""

import base64
import binascii
import re

from aws_lambda_powertools.event_handler import Depends, Request

from shared.errors import BadRequest

MULTIPART = "multipart/form-data"

_MAX_PARTS = 20
# Patterns as texts: few functions ever need them compiled.
_BOUNDARY = r'(?i:boundary)=(?:"([^"]{1,70})"|([^\s;"]{1,70}))'
_NAME = r'[; ]name="?file"?(?:;|$)'
_FILENAME = r'[; ]filename="([^"]*)"'


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


def read_form(body: str, content_type: str, *, is_base64: bool) -> tuple[str, bytes]:
    """Name and content of the file of a form.

    Raises:
        BadRequest: the body is no such form, or has not one file.
    """
    boundary = re.search(_BOUNDARY, content_type)
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
        if kind.strip().lower() == "content-disposition" and blank and re.search(_NAME, said):
            filename = re.search(_FILENAME, said)
            return (filename[1], content) if filename else None
    return None
