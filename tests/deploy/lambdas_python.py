"""An interpreter that sees what Lambda's own sees: the standard library, boto3 and the runtime's client."""

import re
import venv
from importlib.metadata import distribution
from importlib.util import cache_from_source
from pathlib import Path

_IN_THE_RUNTIME = ("boto3", "awslambdaric")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def make(folder: Path) -> Path:
    """Make an environment without pip and return its interpreter."""
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in sorted(set().union(*map(with_needed, _IN_THE_RUNTIME))):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in {"..", "__pycache__"}}:
            _link(Path(str(found.locate_file(top))), packages / top)
    return folder / "bin" / "python"


def _link(package: Path, link: Path) -> None:
    link.symlink_to(package)
    # Where a module is a single file, its compiled code is not under the link.
    compiled = Path(cache_from_source(str(package)))
    if package.suffix == ".py" and compiled.exists():
        link.with_name("__pycache__").mkdir(exist_ok=True)
        link.with_name("__pycache__").joinpath(compiled.name).symlink_to(compiled)


def with_needed(name: str) -> set[str]:
    """A distribution and all that it needs, by name."""
    found = {name}
    for line in distribution(name).requires or ():
        needed = _NAME.match(line)
        if needed and "extra ==" not in line:
            found |= with_needed(needed[0])
    return found
