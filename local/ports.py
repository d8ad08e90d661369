"""Takes the ports of the runtime, before anything is started on them."""

import errno
import socket

from local.errors import LocalError

_BACKLOG = 2048


def listen(host: str, port: int, what: str) -> socket.socket:
    """A listening socket."""
    # Said in so many words, because asyncio switches Nagle's algorithm off for such sockets only (40 ms an answer).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            message = f"port {port} ({what}) is taken: stop what uses it, or choose another with PORT=..."
            raise LocalError(message) from error
        raise LocalError(f"cannot listen on {host}:{port} ({what}): {error.strerror}") from error
