"""Memory and sizes."""

from contextlib import suppress
from pathlib import Path


def pss_mb(pid: int) -> list[int]:
    """Proportional memory (PSS) of a process and its descendants, in MB, itself first."""
    found = [_pss_mb(pid)]
    for thread in Path(f"/proc/{pid}/task").iterdir():
        # Threads come and go meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            for child in (thread / "children").read_text().split():
                found += pss_mb(int(child))
    return found


def _pss_mb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(kilobytes / 1024)


def folder_mb(folder: Path) -> float:
    """Size of the files in a folder, in MB. Files may come and go meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue
    return round(total / 1e6, 1)
