"""Builds: an upload becomes a version that can be run, or says why not.

The archive is read twice: once to the end, so that nothing hostile gets further, and once more to write what was found
harmless into a bundle of our own. Runs use the bundle; the upload is never read again. No code of a tenant runs here.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from gzip import GzipFile
from tempfile import TemporaryFile
from typing import IO, Any
from urllib.parse import unquote_plus

from shared.clients import objects
from shared.config import settings
from shared.domain import agent_logs, archives, code_versions, manifests, wheels
from shared.domain.agent_logs import Level, Line
from shared.domain.archive_names import Caps, Names
from shared.domain.bundles import PACKAGES
from shared.domain.code_versions import CodeVersion
from shared.domain.manifests import Manifest
from shared.domain.uploads import CONTENT_TYPE
from shared.errors import ArchiveRefused, BuildFailed, ConditionFailed, NotFound
from shared.store.table import TenantStore
from shared.telemetry import log_context, logger

_WHEELS_EXPANDED_BYTES = 250_000_000
_MAX_LOG_CHARACTERS = 16_000
_BLOCK = 512
_PIECE_BYTES = 262_144


@dataclass(slots=True)
class _Report:
    """What a build says."""

    lines: list[Line] = field(default_factory=list)

    def say(self, message: str, level: Level = "INFO") -> None:
        """Add a line."""
        self.lines.append(agent_logs.line(message, level))

    def text(self) -> str:
        """The lines as a version shows them."""
        return "\n".join(f"{at} {level} {message}" for level, message, at in self.lines)[:_MAX_LOG_CHARACTERS]


def answer(message: Mapping[str, Any]) -> None:
    """Do what a message of the queue asks for: build what was uploaded. One that fails comes again, and is parked.

    The message only says where to look: what is built is what the table expects and our own bucket holds.
    """
    for event in json.loads(message["body"]).get("Records", []):
        key = unquote_plus(event["s3"]["object"]["key"])
        found = code_versions.of_key(key)
        if found is None:
            logger.warning("not an upload")
            continue
        tenant_id, agent_id, number = found
        log_context(tenant_id=tenant_id)
        build(TenantStore(tenant_id), agent_id, number)


def build(store: TenantStore, agent_id: str, number: int) -> None:
    """Build a version that was uploaded, once; nothing if that was done, or is being done."""
    try:
        version = code_versions.claim(store, agent_id, number)
    except ConditionFailed:
        # A message can come twice at once; the other one is at work.
        return
    if version is None:
        return
    report = _Report()
    report.say(f"Build of {version.version} began: {version.size} bytes.")
    try:
        if code_versions.gave_up(version):
            raise BuildFailed("broke_off", "The build broke off without a word, repeatedly.")
        ended = _built(version, report)
    except ArchiveRefused as error:
        report.say(f"The archive is refused. {error.reason}: {error.detail}", "ERROR")
        ended = version.model_copy(update={"status": "failed"})
    except BuildFailed as error:
        report.say(f"{error.reason}: {error.detail}", "ERROR")
        ended = version.model_copy(update={"status": "failed"})
    report.say(f"Build of {version.version} ended: {ended.status}.", "INFO" if ended.status == "ready" else "ERROR")
    ended = ended.model_copy(update={"build_log": report.text()})
    said = {"version_id": version.id, "version": version.version, "status": ended.status}
    try:
        code_versions.finish(store, ended, agent_logs.batches(agent_id, "build", report.lines, said))
    except (ConditionFailed, NotFound):
        # Somebody else ended it, or the agent is gone: what was built is nobody's.
        logger.info("build not wanted any more")


def _built(version: CodeVersion, report: _Report) -> CodeVersion:
    """The version as it is when its bundle is in the bucket.

    Raises:
        BuildFailed: it cannot be built.
    """
    with ExitStack() as files:
        upload, bundle = files.enter_context(TemporaryFile()), files.enter_context(TemporaryFile())
        _fetch(version, upload)
        sizes, config = _look(upload)
        report.say(f"The archive holds {len(sizes)} files, {sum(sizes.values())} bytes.")
        manifest = manifests.read(config)
        source = manifests.source_of(manifest, sizes)
        found = [wheels.named(path) for path in sizes if path.startswith(wheels.FOLDER)]
        wheels.check_requirements(manifest.requirements, found)
        with GzipFile(fileobj=bundle, mode="wb", compresslevel=6, mtime=0) as packed:
            _repack(upload, packed, manifest, source)
            report.say(f"The entrypoint {manifest.entrypoint} is there, and can be called.")
            _add_wheels(upload, packed, report)
            packed.write(bytes(2 * _BLOCK))
        bundle.seek(0)
        digest = _sha256(bundle)
        bundle.seek(0)
        objects.put(version.bundle_key, bundle, CONTENT_TYPE, digest)
    told = {"entrypoint": manifest.entrypoint, "timeout_seconds": manifest.timeout_seconds, "memory": manifest.memory}
    return version.model_copy(update={"status": "ready", "config": config.decode(), **told})


def _fetch(version: CodeVersion, upload: IO[bytes]) -> None:
    try:
        objects.fetch(version.upload_key, upload, settings().upload_max_size)
    except objects.TooLarge:
        raise BuildFailed("upload_too_large", f"It is larger than {settings().upload_max_size} bytes.") from None
    except FileNotFoundError:
        raise BuildFailed("upload_missing", "The upload is gone.") from None
    upload.seek(0)
    if _sha256(upload) != version.sha256:
        raise BuildFailed("wrong_sha256", "The upload is not the file that was announced.")


def _sha256(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _look(upload: IO[bytes]) -> tuple[dict[str, int], bytes]:
    """The sizes of an archive's files, and its manifest. All of the archive is read.

    Raises:
        ArchiveRefused: it is hostile.
        BuildFailed: it has no manifest.
    """
    sizes: dict[str, int] = {}
    config: bytes | None = None
    for member in _members(upload):
        if member.path.partition("/")[0] == PACKAGES:
            raise BuildFailed("reserved_name", f"{PACKAGES} is where the platform puts what wheels hold.")
        if member.is_folder:
            continue
        sizes[member.path] = member.size
        if member.path == manifests.FILE:
            config = member.content(manifests.MAX_BYTES)
            if config is None:
                raise BuildFailed("bad_manifest", f"{manifests.FILE} is larger than {manifests.MAX_BYTES} bytes.")
    if config is None:
        deeper = next((path for path in sizes if path.endswith(f"/{manifests.FILE}")), None)
        hint = f" There is a {deeper}: pack what is in its folder, not the folder." if deeper else ""
        raise BuildFailed("no_manifest", f"There is no {manifests.FILE} at the top of the archive.{hint}")
    return sizes, config


def _members(upload: IO[bytes]) -> Iterable[archives.Member]:
    upload.seek(0)
    caps = Caps(members=settings().upload_max_members, expanded_bytes=settings().upload_max_expanded)
    return archives.members(upload, caps)


def _repack(upload: IO[bytes], packed: GzipFile, manifest: Manifest, source: str) -> None:
    """Write the agent's own files into the bundle, and look at its entrypoint on the way."""
    for member in _members(upload):
        if member.is_folder or member.path.startswith(wheels.FOLDER):
            continue
        if member.path == source:
            content = member.content(manifests.MAX_SOURCE_BYTES) or b""
            manifests.check_callable(manifest, source, content)
            _add(packed, member.path, len(content), [content])
        else:
            _add(packed, member.path, member.size, member.pieces())


def _add_wheels(upload: IO[bytes], packed: GzipFile, report: _Report) -> None:
    names, room = Names(Caps()), _WHEELS_EXPANDED_BYTES
    for member in _members(upload):
        if member.is_folder or not member.path.startswith(wheels.FOLDER):
            continue
        wheel = wheels.named(member.path)
        if member.size > wheels.MAX_BYTES:
            raise BuildFailed("wheel_too_large", f"{wheel.file} is larger than {wheels.MAX_BYTES} bytes.")
        with TemporaryFile() as content:
            for piece in member.pieces():
                content.write(piece)
            for path, size, pieces in wheels.files(wheel, content, names, Caps()):
                room -= size
                if room < 0:
                    raise BuildFailed("wheel_too_large", f"The wheels hold more than {_WHEELS_EXPANDED_BYTES} bytes.")
                _add(packed, f"{PACKAGES}/{path}", size, pieces)
        report.say(f"Unpacked {wheel.file}.")


def _add(packed: GzipFile, path: str, size: int, pieces: Iterable[bytes]) -> None:
    """A file of the bundle: its name, its bytes, and nothing else of what the archive said of it."""
    info = tarfile.TarInfo(path)
    info.size = size
    packed.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))
    written = 0
    for piece in pieces:
        packed.write(piece)
        written += len(piece)
    if written != size:
        raise BuildFailed("damaged_wheel", f"{path} is not as long as it says.")
    packed.write(bytes(-size % _BLOCK))
