"""Wheels: unpacked and never installed; only those that fit, and nothing hostile in them."""

import io
import platform
import stat
import struct
import sys
import zipfile
from collections.abc import Callable

import pytest

from shared.domain import wheels
from shared.domain.archive_names import Caps, Names
from shared.errors import BuildFailed
from tests.unit.support.tarballs import wheel

MINE = f"cp3{sys.version_info.minor}"
PURE = "wheels/idna-3.7-py3-none-any.whl"


def unpacked(content: bytes, caps: Caps | None = None) -> dict[str, bytes]:
    caps = caps or Caps()
    found = wheels.files(wheels.named(PURE), io.BytesIO(content), Names(caps), caps)
    return {path: b"".join(pieces) for path, _, pieces in found}


def refusal(content: bytes) -> str:
    with pytest.raises(BuildFailed) as refused:
        unpacked(content)
    return refused.value.reason


@pytest.mark.parametrize(
    "name",
    [
        "idna-3.7-py3-none-any",
        "six-1.16.0-py2.py3-none-any",
        "x-1-2-py3-none-any",
        f"numpy-2.1.0-{MINE}-{MINE}-manylinux_2_17_{platform.machine()}.manylinux2014_{platform.machine()}",
        f"x-1-cp38-abi3-manylinux_2_28_{platform.machine()}",
        f"x-1-py3-none-manylinux1_{platform.machine()}",
    ],
)
def test_wheels_that_run_here(name: str) -> None:
    assert wheels.named(f"wheels/{name}.whl").version in {"3.7", "1.16.0", "1", "2.1.0"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("idna-3.7.tar.gz", "not_a_wheel"),
        ("idna.whl", "not_a_wheel"),
        ("deeper/idna-3.7-py3-none-any.whl", "not_a_wheel"),
        ("x-1-cp27-cp27m-manylinux1_x86_64.whl", "wrong_wheel"),
        (f"x-1-{MINE}-{MINE}-win_amd64.whl", "wrong_wheel"),
        (f"x-1-{MINE}-{MINE}-macosx_11_0_arm64.whl", "wrong_wheel"),
        (f"x-1-{MINE}-{MINE}-manylinux_2_17_riscv64.whl", "wrong_wheel"),
        ("x-1-cp399-abi3-any.whl", "wrong_wheel"),
    ],
)
def test_others_are_refused(name: str, reason: str) -> None:
    with pytest.raises(BuildFailed) as refused:
        wheels.named(f"wheels/{name}")
    assert refused.value.reason == reason


def test_requirements_are_met_by_the_wheels_at_hand() -> None:
    found = [wheels.named(PURE), wheels.named("wheels/My_Pkg.x-1.0-py3-none-any.whl")]
    wheels.check_requirements(["idna", "idna==3.7", "my-pkg.X", "MY.PKG-x==1.0"], found)
    for missing in ("requests", "idna==3.8"):
        with pytest.raises(BuildFailed) as refused:
            wheels.check_requirements([missing], found)
        assert refused.value.reason == "missing_wheel"
        assert "asks no package index" in refused.value.detail


def test_what_is_imported_is_unpacked() -> None:
    content = wheel(
        {"idna/__init__.py": b"1", "idna-3.7.data/purelib/more.py": b"2", "idna-3.7.data/scripts/run": b"3"}
    )
    assert unpacked(content) == {"idna/__init__.py": b"1", "more.py": b"2"}


def _linked() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("idna")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return made.getvalue()


def _twice() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    return made.getvalue()


def _of_many_files() -> bytes:
    good = wheel({"a": b"1"})
    return good[:-10] + struct.pack("<L", 3_000_000) + good[-6:]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "damaged_wheel"),
    "no zip": (lambda: b"x" * 100, "damaged_wheel"),
    "truncated": (lambda: wheel({"a": b"1" * 100})[:60], "damaged_wheel"),
    "a comment behind the end": (lambda: wheel({"a": b"1"}) + b"more", "damaged_wheel"),
    "a directory that says it is large": (_of_many_files, "wheel_too_large"),
    "a name that climbs": (lambda: wheel({"../evil": b"x"}), "traversal"),
    "an absolute name": (lambda: wheel({"/etc/evil": b"x"}), "absolute"),
    "a name that climbs out of .data": (lambda: wheel({"x.data/purelib/../../evil": b"x"}), "traversal"),
    "a link": (_linked, "damaged_wheel"),
    "a duplicate": (_twice, "duplicate"),
    "names that differ in case": (lambda: wheel({"a": b"1", "A": b"2"}), "case_clash"),
    "a bomb": (lambda: wheel({"a": bytes(20_000_000)}), "wheel_too_large"),
    "wrong bytes": (
        lambda: wheel({"a": b"123456789"}, stored=True).replace(b"123456789", b"923456789"),
        "damaged_wheel",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(name: str) -> None:
    make, reason = HOSTILE[name]
    assert refusal(make()) == reason
