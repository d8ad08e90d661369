"""Ports for the servers that tests start, stop and start again."""

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

TOGETHER = 3
# Below those that Linux gives to outgoing connections (32768 to 60999): one of these could take the port of a server
# that is about to start again.
_FIRST, _BEHIND = 12_000, 32_000


@contextmanager
def finder() -> Iterator[Callable[[], int]]:
    """A function that finds the first of `TOGETHER` free ports; no other finder on this machine gives out the same."""
    with ExitStack() as kept:

        def find() -> int:
            while True:
                first = random.randrange(_FIRST, _BEHIND, TOGETHER)
                if all(map(_is_free, range(first, first + TOGETHER))) and (claim := _claimed(first)):
                    kept.enter_context(claim)
                    return first

        yield find


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _claimed(port: int) -> socket.socket | None:
    """What keeps other finders away: the UDP port of the same number, which no server here uses."""
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return None
    return claim
