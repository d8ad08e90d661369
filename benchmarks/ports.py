"""Free ports for what is measured."""

import os
import socket


def free_ports(count: int) -> list[int]:
    """Free ports in a row.

    Raises:
        RuntimeError: there are not as many.
    """
    # Each process begins elsewhere, so that two that look at the same time do not find the same.
    begin = 18_000 + os.getpid() % 100 * 20
    for first in range(begin, begin + 1_000, count):
        sockets = []
        ports = list(range(first, first + count))
        try:
            for port in ports:
                probe = socket.socket()
                sockets.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return ports
    raise RuntimeError(f"no {count} free ports in a row")
