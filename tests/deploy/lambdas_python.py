"""An interpreter that sees what Lambda's own sees: the standard library, boto3 and the runtime's client."""

import re
import venv
from importlib.metadata import distribution
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
            (packages / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def with_needed(name: str) -> set[str]:
    """A distribution and all that it needs, by name."""
    found = {name}
    for line in distribution(name).requires or ():
        needed = _NAME.match(line)
        if needed and "extra ==" not in line:
            found |= with_needed(needed[0])
    return found
