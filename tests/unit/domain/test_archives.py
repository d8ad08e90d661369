"""Archives of strangers: what is harmless comes out as it went in, all else is refused for a named reason."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.domain import archives
from shared.domain.archive_names import Caps
from shared.domain.archives import members, unpack
from shared.errors import ArchiveRefused
from tests.unit.support import tarballs
from tests.unit.support.tarballs import END, header, member, packed, pax

SHARED = Path(archives.__file__).parents[2]
SMALL = Caps(members=50, depth=5, file_bytes=3_000_000, expanded_bytes=4_000_000, ratio=100)
GOOD = member(b"good.txt", b"good")

HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "truncated"),
    "not gzip": (lambda: b"PK\x03\x04 a zip file", "not_gzip"),
    "bzip2 inside another name": (lambda: b"BZh91AY&SY", "not_gzip"),
    "gzip of a text": (lambda: gzip.compress(b"just a text" * 100), "not_tar"),
    "gzip of nothing": (lambda: gzip.compress(b""), "truncated"),
    "half a gzip header": (lambda: packed(GOOD)[:5], "truncated"),
    "truncated gzip": (lambda: packed(GOOD)[:-10], "truncated"),
    "damaged gzip": (lambda: _damaged(packed(GOOD)), "corrupt"),
    "wrong checksum of the stream": (lambda: packed(GOOD)[:-8] + bytes(8), "corrupt"),
    "no end mark": (lambda: packed(GOOD, end=b""), "truncated"),
    "a file that breaks off": (lambda: packed(header(b"a", 5_000), b"half", end=b""), "truncated"),
    "bytes behind the gzip stream": (lambda: packed(GOOD) + b"more", "trailing_data"),
    "a second gzip stream": (lambda: packed(GOOD) + packed(member(b"hidden", b"x")), "trailing_data"),
    "a member behind the end mark": (lambda: packed(GOOD, END, member(b"hidden", b"x")), "trailing_data"),
    "an empty archive": (lambda: packed(), "empty"),
    "folders only": (lambda: packed(member(b"a/", kind=b"5")), "empty"),
    "a bad header checksum": (lambda: packed(GOOD.replace(b"good.txt", b"evil.txt")), "not_tar"),
    "a tar older than POSIX": (lambda: packed(_without_magic(GOOD)), "not_tar"),
    "a symbolic link": (lambda: tarballs.special(tarfile.SYMTYPE, "/etc/passwd"), "link"),
    "a hard link": (lambda: tarballs.special(tarfile.LNKTYPE, "/etc/passwd"), "link"),
    "a link and a file through it": (
        lambda: packed(_link(b"out", b"/tmp"), member(b"out/evil", b"x")),
        "link",
    ),
    "GNU's long target of a link": (lambda: packed(member(b"././@LongLink", b"/etc/passwd\0", b"K")), "link"),
    "a target of a link in pax": (lambda: packed(pax((b"linkpath", b"/etc")), GOOD), "malformed"),
    "a character device": (lambda: tarballs.special(tarfile.CHRTYPE), "device"),
    "a block device": (lambda: tarballs.special(tarfile.BLKTYPE), "device"),
    "a FIFO": (lambda: tarballs.special(tarfile.FIFOTYPE), "fifo"),
    "a sparse file of GNU": (lambda: packed(member(b"a", b"x", b"S")), "sparse"),
    "a sparse file of pax": (lambda: packed(pax((b"GNU.sparse.realsize", b"999999999999")), GOOD), "sparse"),
    "a kind that nobody knows": (lambda: packed(member(b"a", b"x", b"Z")), "unknown_kind"),
    "a volume label": (lambda: packed(member(b"label", kind=b"V")), "unknown_kind"),
    "a contiguous file": (lambda: packed(member(b"a", b"x", b"7")), "unknown_kind"),
    "an absolute name": (lambda: packed(member(b"/etc/cron.d/evil", b"x")), "absolute"),
    "an absolute name in pax": (lambda: packed(pax((b"path", b"/etc/evil")), GOOD), "absolute"),
    "a name that climbs": (lambda: packed(member(b"../evil", b"x")), "traversal"),
    "a name that climbs in the middle": (lambda: packed(member(b"a/../../evil", b"x")), "traversal"),
    "a name that climbs behind a dot": (lambda: packed(member(b"./../evil", b"x")), "traversal"),
    "a folder that climbs": (lambda: packed(member(b"a/..", kind=b"5")), "traversal"),
    "GNU's long name that climbs": (lambda: packed(member(b"././@LongLink", b"../evil\0", b"L"), GOOD), "traversal"),
    "a backslash": (lambda: packed(member(b"..\\evil", b"x")), "backslash"),
    "a NUL in a pax name": (lambda: packed(pax((b"path", b"good.txt\0/../evil")), GOOD), "nul_in_name"),
    "text behind the end of a name": (lambda: packed(member(b"good\0evil", b"x")), "nul_in_name"),
    "a name not in UTF-8": (lambda: packed(member(b"caf\xe9.py", b"x")), "not_utf8"),
    "half a character of UTF-16": (lambda: packed(member(b"\xed\xa0\x80.py", b"x")), "not_utf8"),
    "a name that turns the reading direction": (
        lambda: packed(member("a\u202eyp.exe".encode(), b"x")),
        "unprintable",
    ),
    "a name with an escape for terminals": (lambda: packed(member(b"\x1b[2Jevil", b"x")), "unprintable"),
    "a part that is too long": (lambda: packed(pax((b"path", b"a" * 256)), GOOD), "name_too_long"),
    "a name that is too long": (lambda: packed(pax((b"path", b"a/" * 501 + b"b")), GOOD), "name_too_long"),
    "a part without a name": (lambda: packed(member(b"a//b", b"x")), "malformed"),
    "a file without a name": (lambda: packed(member(b"", b"x")), "malformed"),
    "the archive's own folder as a file": (lambda: packed(member(b".", b"x")), "malformed"),
    "a duplicate": (lambda: packed(GOOD, GOOD), "duplicate"),
    "a duplicate behind a dot": (lambda: packed(GOOD, member(b"./good.txt", b"evil")), "duplicate"),
    "a folder twice": (lambda: packed(member(b"a/", kind=b"5"), member(b"a", kind=b"5"), GOOD), "duplicate"),
    "names that differ in case": (lambda: packed(GOOD, member(b"GOOD.txt", b"x")), "case_clash"),
    "folders that differ in case": (lambda: packed(member(b"a/x", b"x"), member(b"A/y", b"y")), "case_clash"),
    "names that differ in the accent's encoding": (
        lambda: packed(member("é".encode(), b"x"), member("e\u0301".encode(), b"y")),
        "case_clash",
    ),
    "a file where a folder is": (lambda: packed(member(b"a/b", b"x"), member(b"a", b"y")), "clash"),
    "a folder where a file is": (lambda: packed(member(b"a", b"x"), member(b"a/b", b"y")), "clash"),
    "too deep": (lambda: packed(member(b"a/b/c/d/e/f", b"x")), "too_deep"),
    "100,000 members": (lambda: packed(*(header(b"%d" % number) for number in range(100_000))), "too_many_members"),
    "more folders in names than members": (
        lambda: packed(*(member(b"%d/a/b/c/f" % number, b"x") for number in range(20))),
        "too_many_members",
    ),
    "a file that is too large": (lambda: packed(header(b"a", 3_000_001)), "file_too_large"),
    "a file of 8 GiB by its header": (lambda: packed(header(b"a", 8**11 - 1)), "file_too_large"),
    "a size in base 256": (lambda: packed(header(b"a", size_field=b"\x80" + b"\xff" * 11)), "malformed"),
    "a size that is negative": (lambda: packed(header(b"a", size_field=b"-0000000001\0")), "malformed"),
    "a size in pax": (lambda: packed(pax((b"size", b"99999999999999")), GOOD), "malformed"),
    "a folder with bytes": (lambda: packed(member(b"a/", b"x", b"5")), "malformed"),
    "more bytes than may be": (
        lambda: tarballs.stretched([member(b"a", bytes(2_000_000)), member(b"b", bytes(2_000_000))], 500_000),
        "expanded_too_large",
    ),
    "a bomb in one file": (lambda: tarballs.bomb(header(b"a", 2_999_999), 2**27), "ratio"),
    "a bomb behind the end mark": (lambda: tarballs.bomb(GOOD, 2**27), "ratio"),
    "a pax header that breaks off": (lambda: packed(member(b"pax", b"99 path=x\n", b"x"), GOOD), "malformed"),
    "a pax header without a length": (lambda: packed(member(b"pax", b"path=x\n", b"x"), GOOD), "malformed"),
    "a pax header of a gigabyte": (lambda: packed(header(b"pax", 2**30, b"x")), "malformed"),
    "a pax header of many records": (lambda: packed(pax(*[(b"a", b"")] * 51), GOOD), "malformed"),
    "two names in one pax header": (lambda: packed(pax((b"path", b"a"), (b"path", b"b")), GOOD), "malformed"),
    "two long names": (lambda: packed(member(b"L", b"a\0", b"L"), pax((b"path", b"b")), GOOD), "malformed"),
    "a name for all members": (lambda: packed(pax((b"path", b"a"), kind=b"g"), GOOD), "malformed"),
    "headers without end": (lambda: packed(*[pax((b"mtime", b"1"))] * 3, GOOD), "malformed"),
    "a long name before the end": (lambda: packed(GOOD, pax((b"path", b"b"))), "malformed"),
}


def _damaged(archive: bytes) -> bytes:
    middle = len(archive) // 2
    return archive[:middle] + bytes(byte ^ 0xFF for byte in archive[middle : middle + 8]) + archive[middle + 8 :]


def _without_magic(block: bytes) -> bytes:
    changed = bytearray(block)
    changed[257:265] = bytes(8)
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:512])
    return bytes(changed)


def _link(name: bytes, target: bytes) -> bytes:
    block = bytearray(header(name, kind=b"2"))
    block[157 : 157 + len(target)] = target
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused_and_nothing_leaves_the_folder(name: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[name]
    folder = tmp_path / "outer" / "inner"
    folder.mkdir(parents=True)
    with pytest.raises(ArchiveRefused) as refused:
        unpack(io.BytesIO(make()), folder, SMALL)
    assert refused.value.reason == reason
    assert refused.value.detail.isprintable()
    assert refused.value.detail.endswith(".")
    assert all(path.is_relative_to(folder) for path in tmp_path.rglob("*") if not path.is_dir())
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_tar_makes_comes_out_as_it_went_in(form: int, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "agent" / "empty").mkdir(parents=True)
    files = {
        "anymind.yaml": b"name: x\n",
        "agent/main.py": os.urandom(50_000) * 28,
        "agent/" + "long" * 20 + "/" + "n" * 99: b"",
    }
    files |= {"agent/b\u00e9b\u00e9.txt": os.urandom(1_500)}
    for name, content in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=form) as archive:
        archive.add(source, ".")
    folder = tmp_path / "out"
    folder.mkdir()
    unpack(io.BytesIO(made.getvalue()), folder, SMALL)
    assert _tree(folder) == files
    assert (folder / "agent" / "empty").is_dir()
    assert (folder / "agent" / "main.py").stat().st_mode & 0o7111 == 0


def test_what_git_archive_writes_for_all_members_is_taken() -> None:
    archive = packed(pax((b"comment", b"0" * 40), kind=b"g"), GOOD)
    assert [found.path for found in members(io.BytesIO(archive), SMALL)] == ["good.txt"]


def test_a_source_may_give_one_byte_at_a_time(tmp_path: Path) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1)

    unpack(Slow(packed(member(b"a", b"1" * 1_000), member(b"b/c", b"2"))), tmp_path, SMALL)
    assert _tree(tmp_path) == {"a": b"1" * 1_000, "b/c": b"2"}


def test_files_that_nobody_reads_are_passed_over() -> None:
    archive = packed(member(b"a", b"1" * 100_000), member(b"b", b"2"))
    assert [(found.path, found.size) for found in members(io.BytesIO(archive), SMALL)] == [("a", 100_000), ("b", 1)]


def test_content_beyond_a_limit_is_not_read() -> None:
    found = [
        found.content(3) for found in members(io.BytesIO(packed(member(b"a", b"123"), member(b"b", b"1234"))), SMALL)
    ]
    assert found == [b"123", None]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        unpack(io.BytesIO(packed(GOOD)), tmp_path, SMALL)
    assert (tmp_path / "good.txt").read_text() == "mine"


_WITHIN_MEMORY = """
import resource, sys
from pathlib import Path
from shared.domain import archives
from shared.domain.archive_names import Caps
from shared.domain.archives import members
from shared.errors import ArchiveRefused
resource.setrlimit(resource.RLIMIT_AS, (256 * 2**20,) * 2)
try:
    with Path(sys.argv[1]).open("rb") as source:
        print(sum(1 for _ in members(source, Caps())))
except ArchiveRefused as error:
    print(error.reason)
"""


def _names_of_all_kinds() -> bytes:
    long = "\U00010348" * 60 + "/" + "\U00010349" * 60 + "/" + "\U0001034a" * 60
    # Each with a header of its own that is as large as may be.
    filler = (b"comment", b"c" * 20_000)
    names = [pax((b"path", f"{long}{number}".encode()), filler) + header(b"x") for number in range(9_900)]
    return tarballs.stretched(names, 2**23)


@pytest.mark.parametrize(
    ("make", "outcome"),
    [
        (lambda: tarballs.bomb(header(b"a", 249_999_999), 2**30), "ratio"),
        (lambda: tarballs.stretched([header(b"a", 249_999_872), *[bytes(2**16)] * 3815], 2**22), "2"),
        (_names_of_all_kinds, "9901"),
    ],
    ids=["zeros", "a file of 250 MB", "names"],
)
def test_the_worst_is_read_in_256_mebibytes(make: Callable[[], bytes], outcome: str, tmp_path: Path) -> None:
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(make())
    environment = {"PYTHONPATH": str(SHARED)}
    ran = subprocess.run([sys.executable, "-c", _WITHIN_MEMORY, path], capture_output=True, text=True, env=environment)
    assert (ran.stdout.strip(), ran.stderr) == (outcome, "")
