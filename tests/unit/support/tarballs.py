"""Archives, good and hostile, made in memory."""

import gzip
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterable

BLOCK = 512
END = bytes(2 * BLOCK)
MANIFEST = b"name: parrot\nentrypoint: agent.main:handle\n"
SOURCE = b"def handle(payload):\n    return payload\n"


def header(name: bytes, size: int = 0, kind: bytes = b"0", *, size_field: bytes | None = None) -> bytes:
    """The header of a member, with the right checksum and whatever else is asked for."""
    block = bytearray(BLOCK)
    block[0 : len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = size_field or b"%011o\0" % size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, content: bytes = b"", kind: bytes = b"0") -> bytes:
    """A header and what follows it."""
    return header(name, len(content), kind) + content + bytes(-len(content) % BLOCK)


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """A pax header of these records."""
    said = b""
    for name, value in records:
        length = len(name) + len(value) + 3
        length += len(str(length + len(str(length))))
        said += b"%d %s=%s\n" % (length, name, value)
    return member(b"pax", said, kind)


def packed(*members: bytes, end: bytes = END) -> bytes:
    """The members as an archive."""
    return gzip.compress(b"".join(members) + end, mtime=0)


def of_files(files: dict[str, bytes]) -> bytes:
    """An archive as `tarfile` makes it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def agent(source: bytes = SOURCE, manifest: bytes = MANIFEST, **more: bytes) -> bytes:
    """An agent that echoes, or another in its place; `more` are files of the top folder, `_` for the dot."""
    others = {name.replace("_", "."): content for name, content in more.items()}
    return of_files({"anymind.yaml": manifest, "agent/__init__.py": b"", "agent/main.py": source} | others)


def special(kind: bytes, target: str = "") -> bytes:
    """An archive with one link, device or FIFO."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("here")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return made.getvalue()


def bomb(first: bytes, count: int) -> bytes:
    """Something, and so many zero bytes behind it, in a thousandth of their size."""
    return _compressed([first, *([bytes(2**20)] * (count // 2**20))])


def stretched(members: Iterable[bytes], noise: int) -> bytes:
    """An archive with so much noise in its first file that the ratio of the rest is never looked at."""
    first = os.urandom(noise)
    return _compressed([member(b"noise", first), *members, END])


def _compressed(parts: Iterable[bytes]) -> bytes:
    squeeze = zlib.compressobj(1, wbits=31)
    return b"".join([squeeze.compress(part) for part in parts] + [squeeze.flush()])


def wheel(files: dict[str, bytes], *, stored: bool = False) -> bytes:
    """A wheel of these files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()
