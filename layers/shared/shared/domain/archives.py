"""Reads a `.tar.gz` that a stranger made, member by member, and gives what is harmless in it: files and folders.

Not by `tarfile`: it follows every extension of the format, takes the size of a header's data on trust and, in Python
3.11 before 3.11.13, writes outside the folder even under its filter `data` (CVE-2025-4517). What is read here is POSIX
ustar with the two ways to write a long name (pax `path`, GNU `L`). Everything else is refused for a named reason.
Only the piece at hand and the names are held in memory, and the limits count while the archive is being read.
"""

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.domain.archive_names import Caps, Names, path_of, shown_name
from shared.errors import ArchiveRefused

_BLOCK = 512
_READ_BYTES = 65_536
_PIECE_BYTES = 262_144
# Small archives end in kilobytes of zeros: the ratio says nothing of them.
_RATIO_COUNTS_FROM = 1_048_576
# Each costs time: without these an archive within all other limits would take minutes.
_MAX_EXTENSIONS = 2
_MAX_EXTENSION_BYTES = 65_536
_MAX_PAX_RECORDS = 50

_OCTAL = re.compile(rb" *([0-7]{1,12})[ \0]*")
_PAX_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_FILE, _FOLDER, _PAX, _PAX_GLOBAL, _GNU_NAME = b"0", b"5", b"x", b"g", b"L"
_REFUSED_KINDS = {
    b"1": ("link", "a hard link"),
    b"2": ("link", "a symbolic link"),
    b"3": ("device", "a device"),
    b"4": ("device", "a device"),
    b"6": ("fifo", "a FIFO"),
    b"K": ("link", "the target of a link"),
    b"S": ("sparse", "a sparse file"),
}
# What else a pax header says is of no interest: times, owners, extended attributes.
_REFUSED_PAX = ("linkpath", "size", "hdrcharset")
_ZEROS = bytes(_BLOCK)


class Source(Protocol):
    """Where the bytes come from: an open file, or the body of an object in S3."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


@dataclass(slots=True)
class Member:
    """A file or a folder of an archive. A file's bytes can be read once, before the next member is asked for.

    Attributes:
        path: relative, its parts separated by `/`; no part is empty, `.` or `..`.
    """

    path: str
    size: int
    is_folder: bool
    _source: "_Expanded"

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file, a quarter of a mebibyte at most at a time."""
        return self._source.pieces()

    def content(self, limit: int) -> bytes | None:
        """All of the file; None if it is larger than `limit` bytes."""
        return b"".join(self.pieces()) if self.size <= limit else None


def members(source: Source, caps: Caps) -> Iterator[Member]:
    """The files and folders of an archive, in its order.

    Who reads on to the end knows that all of the archive is harmless; who stops before knows nothing.

    Raises:
        ArchiveRefused: by its reason, as soon as that is seen.
    """
    expanded, known = _Expanded(source, caps), Names(caps)
    while (header := _next_header(expanded)) is not None:
        is_folder = header.kind == _FOLDER or header.name.endswith(b"/")
        if is_folder and header.size:
            raise ArchiveRefused("malformed", f"{shown_name(header.name)} is a folder with bytes of its own.")
        path = path_of(header.name)
        if path is None and is_folder:
            continue
        if path is None:
            raise ArchiveRefused("malformed", "The archive's own folder is a file.")
        known.add(path, is_folder)
        if header.size > caps.file_bytes:
            raise ArchiveRefused("file_too_large", f"{path} is larger than {caps.file_bytes} bytes.")
        expanded.begin_file(header.size)
        yield Member(path, header.size, is_folder, expanded)
        for _ in expanded.pieces():
            pass
        expanded.skip_padding(header.size)
    expanded.check_end()
    if not known.files:
        raise ArchiveRefused("empty", "The archive holds no file.")


def unpack(source: Source, folder: Path, caps: Caps) -> None:
    """Write an archive's files, which everybody may read, below a folder that exists and is empty.

    If it is refused, what was read before is there: the folder is to be removed.

    Raises:
        ArchiveRefused: see `members`.
    """
    for member in members(source, caps):
        target = folder / member.path
        if member.is_folder:
            _make(target)
            continue
        _make(target.parent)
        # "x": never through something that is there already.
        with target.open("xb") as file:
            os.fchmod(file.fileno(), 0o644)
            for piece in member.pieces():
                file.write(piece)


def _make(folder: Path) -> None:
    """Make a folder and those above it, whatever umask the process has."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir()
        folder.chmod(0o755)


class _Expanded:
    """The archive's expanded bytes, counted."""

    def __init__(self, source: Source, caps: Caps) -> None:
        self._source, self._caps = source, caps
        self._inflate = zlib.decompressobj(wbits=31)  # 31: with a gzip header, and its checksum at the end
        self._pending, self._piece, self._at = b"", b"", 0
        self._taken = self._given = self._left = 0

    def exactly(self, count: int) -> bytes:
        """So many bytes."""
        parts: list[bytes] = []
        while count:
            part = self._some(count)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def begin_file(self, size: int) -> None:
        """What comes next is a file of that size."""
        self._left = size

    def pieces(self) -> Iterator[bytes]:
        """What is left of the file."""
        while self._left:
            part = self._some(self._left)
            self._left -= len(part)
            yield part

    def skip_padding(self, size: int) -> None:
        """A file is filled up to whole blocks."""
        self.exactly(-size % _BLOCK)

    def check_end(self) -> None:
        """What follows the end mark must be zeros, and nothing may follow the compressed stream.

        Raises:
            ArchiveRefused: something does.
        """
        while True:
            if self._at == len(self._piece) and not self._fill():
                break
            rest = self._piece[self._at :]
            self._at = len(self._piece)
            if rest.count(0) != len(rest):
                raise ArchiveRefused("trailing_data", "Something follows the end of the archive.")
        if self._pending or self._inflate.unused_data or self._source.read(1):
            raise ArchiveRefused("trailing_data", "Something follows the end of the compressed data.")

    def _some(self, most: int) -> bytes:
        """At least one byte."""
        if self._at == len(self._piece) and not self._fill():
            raise ArchiveRefused("truncated", "The archive ends before its end mark.")
        part = self._piece[self._at : self._at + most]
        self._at += len(part)
        return part

    def _fill(self) -> bool:
        """Expand the next piece; False at the end of the compressed stream."""
        self._piece, self._at = b"", 0
        while not self._piece:
            if self._inflate.eof:
                return False
            if not self._pending:
                self._pending = self._source.read(_READ_BYTES)
                if not self._pending:
                    raise ArchiveRefused("truncated", "The compressed data breaks off.")
                if self._taken == 0 and not b"\x1f\x8b\x08".startswith(self._pending[:3]):
                    raise ArchiveRefused("not_gzip", "The file is not compressed by gzip.")
                self._taken += len(self._pending)
            try:
                self._piece = self._inflate.decompress(self._pending, _PIECE_BYTES)
            except zlib.error:
                raise ArchiveRefused("corrupt", "The compressed data is damaged.") from None
            self._pending = self._inflate.unconsumed_tail
        self._given += len(self._piece)
        if self._given > self._caps.expanded_bytes:
            raise ArchiveRefused("expanded_too_large", f"It expands to more than {self._caps.expanded_bytes} bytes.")
        # What waits to be expanded is not counted: a bomb is in the first bytes as well.
        if self._given > max(_RATIO_COUNTS_FROM, self._caps.ratio * (self._taken - len(self._pending))):
            raise ArchiveRefused("ratio", f"It expands to more than {self._caps.ratio} times its size.")
        return True


@dataclass(frozen=True, slots=True)
class _Header:
    """A file's or a folder's header; the name is in bytes as it was written."""

    name: bytes
    kind: bytes
    size: int


def _next_header(source: _Expanded) -> _Header | None:
    """The next member's header, with its long name if it has one; None at the end mark."""
    name: bytes | None = None
    for _ in range(_MAX_EXTENSIONS + 1):
        block = source.exactly(_BLOCK)
        if block == _ZEROS:
            if name is not None:
                raise ArchiveRefused("malformed", "A long name stands before nothing.")
            return None
        kind, size, short = _fields(block)
        if kind in _REFUSED_KINDS:
            reason, what = _REFUSED_KINDS[kind]
            raise ArchiveRefused(reason, f"{shown_name(name or short)} is {what}.")
        if kind in {_FILE, _FOLDER}:
            return _Header(short if name is None else name, kind, size)
        if kind not in {_PAX, _PAX_GLOBAL, _GNU_NAME}:
            raise ArchiveRefused("unknown_kind", f"{shown_name(name or short)} is neither a file nor a folder.")
        if size > _MAX_EXTENSION_BYTES:
            raise ArchiveRefused("malformed", "A header says too much of one member.")
        said = source.exactly(size)
        source.skip_padding(size)
        found = said.removesuffix(b"\0") if kind == _GNU_NAME else _pax_path(said)
        if found is None:
            continue
        if name is not None or kind == _PAX_GLOBAL:
            raise ArchiveRefused("malformed", "A member has more than one long name.")
        name = found
    raise ArchiveRefused("malformed", "Too many headers stand before one member.")


def _fields(block: bytes) -> tuple[bytes, int, bytes]:
    """Kind, size and short name (POSIX.1-2017, pax, "ustar Interchange Format")."""
    sum_given = _OCTAL.fullmatch(block[148:156])
    # The checksum is of the header with blanks in its own place.
    if sum_given is None or int(sum_given[1], 8) != sum(block) - sum(block[148:156]) + 8 * 0x20:
        raise ArchiveRefused("not_tar", "It is not a tar archive, or it is damaged.")
    if block[257:262] != b"ustar":
        raise ArchiveRefused("not_tar", "It is a tar archive of a kind older than POSIX.")
    size = _OCTAL.fullmatch(block[124:136])
    if size is None:
        raise ArchiveRefused("malformed", "The size of a member is not written as POSIX asks.")
    kind = block[156:157]
    name = _text(block[0:100])
    # GNU's own format keeps other things where POSIX has the front of a long name.
    if block[257:263] == b"ustar\0" and block[345] != 0:
        name = _text(block[345:500]) + b"/" + name
    return _FILE if kind == b"\0" else kind, int(size[1], 8), name


def _text(raw: bytes) -> bytes:
    """A field up to its end mark."""
    text, _, behind = raw.partition(b"\0")
    if behind.strip(b"\0"):
        raise ArchiveRefused("nul_in_name", f"{shown_name(text)} goes on behind the end of its name.")
    return text


def _pax_path(said: bytes) -> bytes | None:
    """The name in a pax header, None if it has none."""
    found: bytes | None = None
    at = records = 0
    while at < len(said):
        length = _PAX_LENGTH.match(said, at)
        end = at + int(length[1]) if length else 0
        keyword, equals, value = said[length.end() : end - 1].partition(b"=") if length else (b"", b"", b"")
        records += 1
        if not equals or end > len(said) or said[end - 1] != 0x0A or records > _MAX_PAX_RECORDS:
            raise ArchiveRefused("malformed", "A pax header is not as POSIX asks, or says too much.")
        word = keyword.decode("ascii", "replace")
        if word in _REFUSED_PAX:
            raise ArchiveRefused("malformed", f"A pax header sets {word}, which is not taken.")
        if word.startswith("GNU.sparse"):
            raise ArchiveRefused("sparse", "A pax header describes a sparse file.")
        if word == "path":
            if found is not None:
                raise ArchiveRefused("malformed", "A member has more than one long name.")
            found = value
        at = end
    return found
