"""The agent's own file system: Python, the system's libraries, its package, and a small folder to write to."""

import contextlib
import os
import sysconfig

from shared.sandbox.kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    make_root,
    mount,
)

PACKAGE = "/agent"
WORK = "/tmp"  # noqa: S108 - of a root that this run alone sees
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_FILES = ("/etc/ld.so.cache", "/etc/localtime")
_FOLDERS = ("/usr/share/zoneinfo",)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# Of a mount that came from outside, a namespace of an ordinary user may take none of these away.
_LOCKED = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC


def enter(place: str, package: str, disk_bytes: int, files: int) -> None:
    """Make a file system in memory at `place` and go in. Needs a mount namespace that nobody shares.

    There is no /proc, no /sys and nothing of the host's own: no other process can be seen from in there.

    Args:
        place: an empty folder.
        package: the agent's folder, which becomes `PACKAGE` and cannot be written to.
        disk_bytes: how much `WORK` holds.
        files: how many files `WORK` holds.

    Raises:
        OSError: something could not be mounted.
    """
    mount("none", place, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,nr_inodes=1000,mode=0755")
    for path in (*_libraries(), *_FOLDERS):
        if os.path.isdir(path):
            _show(path, place + path, os.path.realpath(path))
    for path in _FILES:
        if os.path.isfile(path):
            _show(path, place + path, os.path.realpath(path))
    for path in _DEVICES:
        _show(path, place + path, path, device=True)
    _show(package, place + PACKAGE, package)
    os.makedirs(place + WORK)
    mount("none", place + WORK, "tmpfs", MS_NOSUID | MS_NODEV, f"size={disk_bytes},nr_inodes={files},mode=1777")
    _seal(place, MS_NOSUID | MS_NODEV)
    make_root(place)


def _libraries() -> list[str]:
    """Folders that Python loads modules from, and their libraries: each once, and none within another."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    found = [path for path in _LIBRARIES if os.path.isdir(path)]
    found += sorted(path for path in own if not any(path.startswith(f"{other}/") for other in found))
    return found


def _show(path: str, target: str, source: str, *, device: bool = False) -> None:
    """Let the file or folder `source` be seen at `target`, to be read only."""
    if os.path.islink(path) and os.path.isdir(path) and path in _LIBRARIES:
        # /lib is usr/lib on most systems.
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    mount(source, target, None, MS_BIND | MS_REC)
    _seal(target, MS_NOSUID | (0 if device else MS_NODEV))


def _seal(target: str, flags: int) -> None:
    locked = os.statvfs(target).f_flag & _LOCKED
    mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags | locked)
