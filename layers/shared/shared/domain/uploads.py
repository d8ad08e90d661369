"""How a client brings an agent's code: with the request if it is small, else by a form for the bucket itself."""

from typing import Annotated

from pydantic import Field

from shared import clock
from shared.clients import objects
from shared.config import settings
from shared.domain import agents, code_versions
from shared.domain.code_versions import CodeVersion
from shared.domain.fields import Model, Record, Whole
from shared.errors import BadRequest, NotFound, PayloadTooLarge
from shared.store import keys
from shared.store.table import TenantStore

CONTENT_TYPE = "application/gzip"
_LINK_SECONDS = 60
_GZIP = b"\x1f\x8b"


class UploadCreate(Model):
    """The file that is to be uploaded: its name, its size in bytes, and its SHA-256 in hexadecimal."""

    filename: Annotated[str, Field(min_length=1, max_length=255)]
    size: Annotated[Whole, Field(ge=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class UploadForm(Record):
    """Where to POST the file as `multipart/form-data`: all `fields` first, and then the file as `file`."""

    url: str
    fields: dict[str, str]
    expires_at: str


class UploadedVersion(CodeVersion):
    """The version that an upload makes. `upload` says where the file goes, if it did not come with the request."""

    upload: UploadForm | None = None


def begin(store: TenantStore, agent_ref: str, given: UploadCreate, content: bytes | None) -> UploadedVersion:
    """Make the next version of an agent, and put its file into the bucket or say where it goes.

    The bucket tells the builder when the file is there. 3 reads by id, 1 transaction, and with the file 1 more request.

    Args:
        content: the file, if it came with the request.

    Raises:
        BadRequest: it is no `.tar.gz`.
        PayloadTooLarge: it is larger than an upload may be.
        NotFound, Conflict: see `code_versions.queue`.
    """
    if not given.filename.lower().endswith(".tar.gz") or (content is not None and not content.startswith(_GZIP)):
        raise BadRequest("File must be a .tar.gz archive", code="not_tar_gz")
    if given.size > settings().upload_max_size:
        raise PayloadTooLarge(f"The file is larger than {settings().upload_max_size} bytes.")
    version = code_versions.queue(store, agent_ref, given.size, given.sha256, held=content is not None)
    shown = UploadedVersion.model_validate(dict(version))
    if content is not None:
        try:
            objects.put(version.upload_key, content, CONTENT_TYPE, given.sha256)
        except Exception:
            code_versions.lost(store, version)
            raise
        return shown
    made = objects.form(version.upload_key, CONTENT_TYPE, given.size, given.sha256, code_versions.FORM_SECONDS)
    form = UploadForm(**made, expires_at=clock.in_seconds(code_versions.FORM_SECONDS))
    return shown.model_copy(update={"upload": form})


def link(store: TenantStore, agent_id: str, filename: str) -> str:
    """An address, good for a minute, of a file that the tenant uploaded; 2 requests.

    Raises:
        NotFound: there is no such upload of this tenant, or it never came.
    """
    version = _version(store, agent_id, filename)
    return objects.link(version.upload_key, filename, _LINK_SECONDS)


def _version(store: TenantStore, agent_id: str, filename: str) -> CodeVersion:
    agents.get(store, agent_id)
    key = f"uploads/{store.tenant_id}/agents/{agent_id}/artifacts/{filename}"
    found = code_versions.of_key(key)
    item = store.get(keys.agent_version(found[1], found[2])) if found else None
    if item is None or (version := code_versions.read(item)).upload_key != key:
        raise NotFound("No such file.")
    return version
