"""What is uploaded: small packages, and a layer whose machine code is of the processor and the Python asked for."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import figures
from benchmarks.packages import LAYER, LAYER_LIMIT, PACKAGE_LIMIT, sizes
from tests.deploy import building
from tests.house.repository import ROOT, functions

# Of the ELF specification's e_machine (its place in the header is 18, little-endian here).
_MACHINES = {"x86_64": 62, "arm64": 183}
_MACHINE_AT = 18
# Of a compiled module, behind the magic number (PEP 552).
_FLAGS_AT = 4


def test_the_packages_are_small(built: Path) -> None:
    found = sizes(built)
    assert found.keys() == {LAYER} | {function.logical_id for function in functions()}
    kept = figures.packages()
    grown = {name: size for name, size in found.items() if size > kept.get(name, PACKAGE_LIMIT)}
    assert not grown, "larger than benchmarks/figures.json says: python -m benchmarks.figures"
    assert found.pop(LAYER) <= LAYER_LIMIT
    large = {name: size for name, size in found.items() if size > PACKAGE_LIMIT}
    assert not large, f"move what is shared or large into the layer: {large}"


def test_a_package_holds_the_files_of_its_folder_and_nothing_else(built: Path) -> None:
    for function in functions():
        expected = {file.name for file in function.file.parent.iterdir() if file.suffix in {".py", ".sh"}}
        found = {str(file.relative_to(built / function.logical_id)) for file in _files(built / function.logical_id)}
        assert found == expected, f"{function.name}: {found ^ expected}"


def test_the_layer_holds_what_the_repository_does_not(built: Path) -> None:
    layer = built / LAYER / "python"
    ours = ROOT / "layers/shared/shared"
    packed = {str(file.relative_to(layer / "shared")) for file in _files(layer / "shared") if file.suffix != ".pyc"}
    assert packed == {str(file.relative_to(ours)) for file in _files(ours) if file.suffix != ".pyc"}
    document = layer / "shared/openapi.json"
    assert not document.is_symlink()
    assert document.read_bytes() == (ROOT / "openapi.json").read_bytes()
    brought = {file.name for file in _files(layer / "drf_spectacular_sidecar")}
    assert brought == {"LICENSE", "redoc.standalone.js", "redoc.standalone.js.LICENSE.txt"}


def test_the_layer_holds_compiled_code_that_every_start_takes(built: Path) -> None:
    folder = built / LAYER / "python/shared/__pycache__"
    compiled = folder / f"telemetry.{sys.implementation.cache_tag}.pyc"
    # PEP 552: checked by nothing. `sam deploy` dates all files of the archive to one day in 1980.
    assert struct.unpack_from("<I", compiled.read_bytes(), _FLAGS_AT) == (0b01,)


def test_the_machine_code_of_the_layer_is_of_the_architecture_asked_for(built: Path) -> None:
    _check(built / LAYER, building.architecture(), building.runtime().removeprefix("python"))


@pytest.mark.parametrize(
    ("asked", "architecture", "version"),
    [
        pytest.param({}, "arm64", "3.11", id="as-the-template-says-by-default"),
        pytest.param({"PLATFORM": "manylinux2014_x86_64", "PYTHON_VERSION": "3.13"}, "x86_64", "3.13", id="another"),
    ],
)
def test_the_layer_is_built_for_other_machines_than_this_one(
    asked: dict[str, str], architecture: str, version: str, tmp_path: Path
) -> None:
    outside = {name: value for name, value in os.environ.items() if name not in {"PLATFORM", "PYTHON_VERSION"}}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "-C", str(ROOT / "layers/shared"), f"build-{LAYER}"],
        env={**outside, **asked, "PATH": path, "ARTIFACTS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    _check(tmp_path, architecture, version)


def _check(layer: Path, architecture: str, version: str) -> None:
    libraries = [file for file in _files(layer) if file.suffix == ".so"]
    assert libraries, "pydantic's core at least is machine code"
    for file in libraries:
        content = file.read_bytes()
        assert content.startswith(b"\x7fELF")
        assert struct.unpack_from("<H", content, _MACHINE_AT) == (_MACHINES[architecture],), file.name
        # Compiled for one version of Python, or for its stable interface.
        assert f".cpython-{version.replace('.', '')}-" in file.name or ".abi3." in file.name, file.name
    others = [file.name for file in _files(layer) if file.suffix in {".dylib", ".dll", ".pyd"}]
    assert not others


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
