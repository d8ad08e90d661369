"""The filter of system calls: no network, no other processes, no way to change what one is."""

import ctypes
import errno
import os
import platform

from shared.sandbox import kernel

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
# Where things are in `struct seccomp_data`; the low word of an argument, on machines that put it first.
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CLONE_THREAD = 0x10000

# audit.h: what the kernel calls the machine.
_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# Numbers from here on are calls of another kind on x86_64, with numbers of their own for the same thing.
_X32 = 0x40000000

# A call's numbers on x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h); None where there is no such call.
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # The network. A pair of connected sockets reaches nobody else and stays: asyncio needs one.
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "bind": (49, 200),
    "listen": (50, 201),
    # Rings of calls that no filter sees.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # More processes, other programs.
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    # Other processes.
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    # Memory that no limit counts, or that others share.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # Namespaces, mounts, keys, and what has been the door into the kernel before.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "personality": (135, 92),
    "syslog": (103, 116),
    "iopl": (172, None),
    "ioperm": (173, None),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_TGKILL, _PRLIMIT = (234, 131), (302, 261)


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def install() -> None:
    """Refuse these calls to this process and all its threads, for good. It must have no new privileges before.

    Raises:
        OSError: the kernel takes no filter, or the machine is none that is known here.
    """
    machine = platform.machine()
    if not kernel.LINUX or machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    instructions = _instructions(machine)
    kept = (_Instruction * len(instructions))(*(_Instruction(*one) for one in instructions))
    kernel.filter_calls(_Program(len(instructions), kept))


def _instructions(machine: str) -> list[tuple[int, int, int, int]]:
    """The program: code, steps to skip if so, steps to skip if not, operand."""
    column = list(_MACHINES).index(machine)
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    program = [
        (_LOAD, 0, 0, _MACHINE),
        (_IF_EQUAL, 1, 0, _MACHINES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_AT_LEAST, 0, 1, _X32),
        refuse,
        # Refused as if unknown: the C library then starts its threads by the older call, whose flags can be read.
        (_IF_EQUAL, 0, 1, _CLONE3[column]),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    for number in sorted(numbers[column] or 0 for numbers in _REFUSED.values() if numbers[column] is not None):
        program += [(_IF_EQUAL, 0, 1, number), refuse]
    # Threads, but no processes; signals and limits for oneself alone.
    program += _unless(_CLONE[column], (_IF_ANY_BIT, _CLONE_THREAD))
    program += _unless(_TGKILL[column], (_IF_EQUAL, os.getpid()))
    program += _unless(_PRLIMIT[column], (_IF_EQUAL, 0))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _unless(number: int, first_argument: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Refuse a call, unless its first argument is as it should be."""
    code, wanted = first_argument
    return [
        (_IF_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (code, 1, 0, wanted),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
