"""Wheels that an archive brings in its folder `wheels/`: the only way in which a build takes packages.

A wheel is unpacked, never installed: nothing of it runs, no index is asked, and what was uploaded is what runs. Its
names and sizes pass the same limits as the archive's own (PEP 427, "Binary distribution format").
"""

import platform
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from shared.domain.archive_names import Caps, Names, path_of
from shared.errors import BuildFailed

FOLDER = "wheels/"
MAX_BYTES = 50_000_000

_MAX_DIRECTORY_BYTES = 2_000_000
_END = b"PK\x05\x06"
_END_BYTES = 22
_PIECE_BYTES = 262_144
_NAME = re.compile(
    r"([A-Za-z0-9_.]+)-([A-Za-z0-9_.!+]+)(?:-[0-9][A-Za-z0-9_.]*)?-([a-z0-9_.]+)-([a-z0-9_.]+)-([a-z0-9_.]+)\.whl"
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel by its file's name."""

    file: str
    name: str
    version: str


def named(path: str) -> Wheel:
    """The wheel of a file in `wheels/`.

    Raises:
        BuildFailed: it is no wheel, or one for another Python or machine.
    """
    file = path.removeprefix(FOLDER)
    found = _NAME.fullmatch(file)
    if found is None:
        raise BuildFailed("not_a_wheel", f"{path} is no wheel; source packages are not built.")
    python, abi, machine = (set(tags.split(".")) for tags in found.groups()[2:])
    mine = f"cp3{sys.version_info.minor}"
    fits = bool(python & {"py3", f"py3{sys.version_info.minor}", mine}) or (
        "abi3" in abi and any(_older(one) for one in python)
    )
    fits = fits and bool(abi & {"none", "abi3", mine})
    runs = "any" in machine or any(
        one.startswith("manylinux") and one.endswith(f"_{platform.machine()}") for one in machine
    )
    if not (fits and runs):
        raise BuildFailed("wrong_wheel", f"{path} is not for {mine} on Linux, {platform.machine()}.")
    return Wheel(file, _normal(found[1]), found[2])


def check_requirements(requirements: Sequence[str], found: Sequence[Wheel]) -> None:
    """See that each requirement is met by a wheel of the archive.

    Raises:
        BuildFailed: names one that is not.
    """
    versions = {wheel.name: wheel.version for wheel in found}
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        has = versions.get(_normal(name))
        if has is None or (version and version != has):
            raise BuildFailed(
                "missing_wheel",
                f"{requirement} has no wheel in {FOLDER}. The build asks no package index: bring wheels along, "
                f"by pip download --only-binary=:all: -d wheels {requirement}",
            )


def files(wheel: Wheel, content: IO[bytes], names: Names, caps: Caps) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    """What a wheel puts where its package is imported from: path, size, and the bytes, to be read at once.

    Args:
        names: what other wheels have put there.

    Raises:
        BuildFailed: the wheel is damaged, or holds what is not taken.
    """
    with _undamaged(wheel):
        _check_directory(wheel, content)
        archive = zipfile.ZipFile(content)
    with archive:
        for info in archive.infolist():
            path = _place(wheel, info)
            if path is None:
                continue
            if info.file_size > caps.file_bytes or info.file_size > caps.ratio * max(info.compress_size, 10_000):
                raise BuildFailed("wheel_too_large", f"{path} in {wheel.file} is too large.")
            names.add(path, is_folder=False)
            yield path, info.file_size, _pieces(wheel, archive, info)


def _pieces(wheel: Wheel, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with _undamaged(wheel), archive.open(info) as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


@contextmanager
def _undamaged(wheel: Wheel) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, zlib.error) as error:
        raise BuildFailed("damaged_wheel", f"{wheel.file} is damaged.") from error


def _check_directory(wheel: Wheel, content: IO[bytes]) -> None:
    """A wheel's directory is read as a whole: it must be small, and where the end says that it is."""
    size = content.seek(0, 2)
    content.seek(max(0, size - _END_BYTES))
    end = content.read(_END_BYTES)
    if len(end) != _END_BYTES or not end.startswith(_END) or end[20:] != b"\0\0":
        raise BuildFailed("damaged_wheel", f"{wheel.file} does not end as a wheel does.")
    if int.from_bytes(end[12:16], "little") > _MAX_DIRECTORY_BYTES:
        raise BuildFailed("wheel_too_large", f"{wheel.file} holds too many files.")


def _place(wheel: Wheel, info: zipfile.ZipInfo) -> str | None:
    """Where a file of a wheel belongs; None for what is not imported."""
    mode = info.external_attr >> 16
    if info.flag_bits & 0x1 or (mode and stat.S_IFMT(mode) not in {0, stat.S_IFREG, stat.S_IFDIR}):
        raise BuildFailed("damaged_wheel", f"{wheel.file} holds what is no plain file.")
    path = path_of(info.orig_filename.encode())
    if path is None or info.is_dir():
        return None
    first, _, rest = path.partition("/")
    if first.endswith(".data"):
        # PEP 427, "The .data directory": of its parts only the packages are imported.
        kind, _, rest = rest.partition("/")
        return rest if kind in {"purelib", "platlib"} and rest else None
    return path


def _older(tag: str) -> bool:
    """Whether a tag such as cp38 names this Python or an older one."""
    return re.fullmatch(r"cp3[0-9]{1,2}", tag) is not None and int(tag[3:]) <= sys.version_info.minor


def _normal(name: str) -> str:
    """A project's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
