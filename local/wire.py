"""How the runtime and its emulator talk: questions and answers on sockets that no other process can reach.

Both are born with one end of a pair of sockets. Through it each sends the other ends of new pairs, so either can open
connections to the other, and there is no address that anyone else could connect to. On a connection one question is
asked at a time. A question or an answer is its length in four bytes, a line that says what it is, and a document.
"""

import asyncio
import os
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

Reply = Callable[[str, bytes], None]
Answer = Callable[[str, bytes, Reply], Coroutine[Any, Any, None] | None]
"""Answers a question, given as its line and its document: at once, or by a coroutine, which becomes a task."""

_LENGTH = struct.Struct("!I")
_CHUNK = 1 << 16


class Peer:
    """The other process, by the socket that both were born with."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self._sending = threading.Lock()

    def connect(self) -> socket.socket:
        """A new connection to the other process.

        Raises:
            OSError: the other process is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs, self._sending:
            try:
                socket.send_fds(self.control, [b"\0"], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours


class Questions:
    """What this process asks the other one, from any thread; as many connections as questions at one time."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._idle: deque[socket.socket] = deque()

    def ask(self, line: str, document: bytes, seconds: float) -> tuple[str, bytes]:
        """Ask and wait for the answer.

        Raises:
            TimeoutError: no answer within ``seconds``.
            OSError: the other process is gone.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._peer.connect()
        try:
            connection.settimeout(seconds)
            connection.sendall(_packed(line, document))
            answer = _received(connection)
        except BaseException:
            # An answer may still come: nobody else must take it for theirs.
            connection.close()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the connections that nobody waits on."""
        while self._idle:
            self._idle.pop().close()


async def listen(peer: Peer, answer: Answer) -> Callable[[], Coroutine[Any, Any, None]]:
    """Answer the other process's questions on the running loop; returns what stops that, to be awaited there."""
    loop = asyncio.get_running_loop()
    open_now: set[asyncio.BaseTransport] = set()
    tasks: set[asyncio.Task[None]] = set()

    def begin(work: Coroutine[Any, Any, None]) -> None:
        task = loop.create_task(work)
        # The loop itself holds tasks weakly.
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def answered(line: str, document: bytes, reply: Reply) -> None:
        work = answer(line, document, reply)
        if work is not None:
            begin(work)

    async def welcome(connection: socket.socket) -> None:
        await loop.connect_accepted_socket(lambda: _Connection(answered, open_now), connection)

    def accept() -> None:
        _, files, _, _ = socket.recv_fds(peer.control, 1, 1)
        if not files:
            loop.remove_reader(peer.control)
        for file in files:
            os.set_inheritable(file, False)
            begin(welcome(socket.socket(fileno=file)))

    async def stop() -> None:
        loop.remove_reader(peer.control)
        for transport in open_now:
            transport.close()
        # The loop closes the sockets on its next round.
        await asyncio.sleep(0)

    loop.add_reader(peer.control, accept)
    return stop


class _Connection(asyncio.Protocol):
    """One connection that the other process asks on."""

    def __init__(self, answer: Callable[[str, bytes, Reply], None], open_now: set[asyncio.BaseTransport]) -> None:
        self._answer, self._open_now = answer, open_now
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open_now.add(transport)

    def connection_lost(self, _error: Exception | None) -> None:
        self._open_now.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        if len(self._received) < _LENGTH.size:
            return
        end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) >= end:
            line, document = _unpacked(self._received[_LENGTH.size : end])
            self._received = self._received[end:]
            self._answer(line, document, self._reply)

    def _reply(self, line: str, document: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(_packed(line, document))


def _packed(line: str, document: bytes) -> bytes:
    head = line.encode() + b"\n"
    return b"".join((_LENGTH.pack(len(head) + len(document)), head, document))


def _unpacked(message: bytes) -> tuple[str, bytes]:
    line, _, document = message.partition(b"\n")
    return line.decode(), document


def _received(connection: socket.socket) -> tuple[str, bytes]:
    data = connection.recv(_CHUNK)
    while data and len(data) < _LENGTH.size:
        data += _more(connection)
    if not data:
        raise ConnectionResetError("the other process closed the connection")
    end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
    if len(data) < end:
        parts, size = [data], len(data)
        while size < end:
            parts.append(_more(connection))
            size += len(parts[-1])
        data = b"".join(parts)
    return _unpacked(data[_LENGTH.size :])


def _more(connection: socket.socket) -> bytes:
    data = connection.recv(_CHUNK)
    if not data:
        raise ConnectionResetError("the other process closed the connection")
    return data
