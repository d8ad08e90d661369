"""A Linux that refuses a process some system calls, as Lambda's does: ``python -m tests.unit.support.refusing``.

Lambda answers EPERM to prctl(2) with `PR_SET_PDEATHSIG` (hashicorp/terraform-exec issue 172) and with
`PR_SET_NO_NEW_PRIVS` (magJ/cypress-lambda-example issue 2), and ends who makes calls of another processor's
(decompals/wibo pull request 130).
"""

import ctypes
import dataclasses
import json
import platform
import sys
from pathlib import Path

from shared.sandbox import kernel, runs
from tests.unit.support.sandbox import SMALL

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE_EPERM, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_FIRST_ARGUMENT = 16
_NUMBERS = {
    "x86_64": {"prctl": 157, "capset": 126, "unshare": 272},
    "aarch64": {"prctl": 167, "capset": 91, "unshare": 97},
}
# PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS.
_PRCTLS = (1, 4, 22, 38)

SYSTEMS = ("as it is", "like Lambda", "ends who unshares")


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.c_char_p))


def _become(system: str) -> None:
    """Have the kernel treat this process and all that it starts so."""
    numbers = _NUMBERS[platform.machine()]
    program = [(_LOAD, 0, 0, 0)]
    if system == "ends who unshares":
        program += [(_IF_EQUAL, 0, 1, numbers["unshare"]), (_RETURN, 0, 0, _KILL)]
    if system == "like Lambda":
        for name in ("unshare", "capset"):
            program += [(_IF_EQUAL, 0, 1, numbers[name]), (_RETURN, 0, 0, _REFUSE_EPERM)]
        program += [(_IF_EQUAL, 1, 0, numbers["prctl"]), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
        for option in _PRCTLS:
            program += [(_IF_EQUAL, 0, 1, option), (_RETURN, 0, 0, _REFUSE_EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    packed = b"".join(
        code.to_bytes(2, sys.byteorder) + bytes((yes, no)) + operand.to_bytes(4, sys.byteorder)
        for code, yes, no, operand in program
    )
    kernel.no_new_privileges()
    kernel.filter_calls(_Program(len(program), packed))


def main(system: str, package: str, user: str) -> None:
    """Run the agent in this folder there, and print its outcome."""
    if system != "as it is":
        _become(system)
    walls = runs.WALLS if user else runs.WALLS - {"user"}
    outcome = runs.run(Path(package), "main:handle", "x", dataclasses.replace(SMALL, walls=walls))
    print(json.dumps(dataclasses.asdict(outcome)))


if __name__ == "__main__":
    main(*sys.argv[1:])
