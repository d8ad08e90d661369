"""Calls of the Linux kernel that Python has no function for."""

import ctypes
import os
import platform
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
_MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

LINUX = sys.platform == "linux"
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _prctl(option: int, value: int, more: object = 0) -> None:
    word = ctypes.c_ulong
    last = word(more) if isinstance(more, int) else more
    _checked(_libc.prctl(option, word(value), last, word(0), word(0)), f"prctl {option}")


def unshare(flags: int) -> None:
    """Leave the namespaces that the flags name, for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    named = kind.encode() if kind else None
    _checked(_libc.mount(source.encode(), target.encode(), named, ctypes.c_ulong(flags), data.encode()), target)


def make_root(folder: str) -> None:
    """Make a mounted folder the root of everything, and let go of the old root."""
    os.chdir(folder)
    number = _PIVOT_ROOT.get(platform.machine())
    if number is not None and _libc.syscall(ctypes.c_long(number), b".", b".") == 0:
        # The old root now lies over the new one (pivot_root(2), "pivot_root(".", ".")").
        _checked(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    else:
        # The first root of a machine, the initial RAM disk, takes no pivot_root.
        mount(".", "/", None, MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def die_with_parent(number: int) -> None:
    """Be sent this signal when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def hide_from_equals() -> None:
    """Let other processes of the same user neither trace this one nor read its memory, environment and files."""
    _prctl(_PR_SET_DUMPABLE, 0)


def no_new_privileges() -> None:
    """Let no program that this process starts have more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: ctypes.Structure) -> None:
    """Install a seccomp filter (a `sock_fprog`), for good."""
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program))


def drop_capabilities() -> None:
    """Give up all capabilities, and the way back to them."""
    for number in range(64):
        # EINVAL: the kernel knows no more of them. EPERM: an unprivileged process, which has none.
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(number), *[ctypes.c_ulong(0)] * 3) != 0:
            break
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(none)), "capset")
