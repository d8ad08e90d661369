"""HTTP calls on behalf of tenants: the only way a tool call leaves the platform.

The URL, the name server behind it and the server itself are taken for hostile. One call:

1. ``address.parse_url`` reads the URL strictly; the host must be one of ``allowed_hosts``.
2. The name is resolved once. Every address must be public, else nothing is opened: one private address among
   public ones is an attack, not a choice.
3. The socket connects to the checked address itself, so a name server that changes its answer (rebinding)
   is not asked again. The Host header, SNI and the certificate check still use the name.
4. One deadline covers all of it: name, connect, TLS, every read and every write.
5. A redirect is an error, an encoded answer is an error (no decompression, no bomb), the body is cut.

No proxy or netrc from the environment, no cookies, no HTTP/2, no retries: most of that is what a
``httpx.Client`` would add, so there is none. No connection outlives its call: a pooled one would take the
next tenant past the checks of its own policy.

Only the tool worker imports this module (httpx costs 110-200 ms of cold start).

What may go wrong: ``shared.clients.http_errors``; the names are known here, too.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from typing import cast
from urllib.parse import urlencode

import httpcore
import httpx

from shared.clients import address
from shared.clients.http_errors import (
    AddressBlocked,
    AnswerTooLarge,
    ConnectFailed,
    HostNotAllowed,
    HttpError,
    HttpTimeout,
    ProtocolFailed,
    RedirectRefused,
    RequestInvalid,
    UrlInvalid,
)

__all__ = [
    "AddressBlocked",
    "AnswerTooLarge",
    "ConnectFailed",
    "HostNotAllowed",
    "HttpAnswer",
    "HttpError",
    "HttpTimeout",
    "ProtocolFailed",
    "RedirectRefused",
    "RequestInvalid",
    "UrlInvalid",
    "send",
]

HEADERS_MAX_BYTES = 65_536  # of an answer; h11 itself stops reading at about 100 KB without a blank line

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?")  # visible ASCII, blanks inside; no CR, LF, NUL
# Ours to set. With another Host a shared front end would serve a site that is in no allow-list; the rest
# decides where the message ends, or is meant for proxies.
_OWN_HEADERS = frozenset({
    "accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization",
    "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
_CONNECT_ATTEMPTS = 4  # a name with hundreds of addresses shall not make us scan them


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the server said.

    Attributes:
        status: 200 to 999, without redirects.
        headers: names in lower case; repeated ones joined by ", ".
        body: as received, at most ``max_bytes``.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class Call:
    """One call under way: what every layer below ``send`` must know of it.

    Attributes:
        ends_at: the deadline, on the monotonic clock.
        may_be_private: the operator listed this host and port in ``private_hosts``.
        sent: a byte of the request may have reached the server.
    """

    ends_at: float
    may_be_private: bool
    sent: bool = False

    def remaining(self) -> float:
        """Seconds left, always positive.

        Raises:
            HttpTimeout: there are none.
        """
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise HttpTimeout("the call took longer than its time limit", sent=self.sent)
        return left


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    json_body: object | None = None,
    form: Mapping[str, str] | None = None,
    params: Sequence[tuple[str, str]] = (),
    timeout_ms: int,
    max_bytes: int,
    allowed_hosts: frozenset[str],
    private_hosts: frozenset[str] = frozenset(),
) -> HttpAnswer:
    """Make one HTTP request, without following it anywhere.

    Every status is an answer, a 500 too; only a 3xx with a Location is refused.

    Args:
        method: GET, HEAD, POST, PUT, PATCH or DELETE.
        url: where to; see ``address.parse_url`` for what is refused.
        headers: visible ASCII. Host, Accept-Encoding and what frames the message are ours and refused here.
        json_body: sent as JSON unless None. form: sent as a form instead, if given.
        params: added to the query of the URL, not yet encoded.
        timeout_ms: for everything, from the name look-up to the last byte of the body.
        max_bytes: of the body.
        allowed_hosts: in the spelling of ``address.canonical_host``; compared exactly. Empty allows nothing.
        private_hosts: the operator's ``host:port`` entries (IPv6 in brackets), compared with the URL and not
            with what its name resolves to. They may lead to loopback, RFC 1918 and ULA, not to metadata
            services, and change no other rule.

    Raises:
        HttpError: one of the tree above.
    """
    ends_at = time.monotonic() + timeout_ms / 1000
    try:
        target = address.parse_url(url, params)
    except ValueError as reason:
        raise UrlInvalid(str(reason)) from None
    if target.host not in allowed_hosts:
        raise HostNotAllowed(f"{target.host} is not an allowed host")
    request = _request(method, target, headers, json_body, form)
    call = Call(ends_at, may_be_private=target.host_port in private_hosts)
    with transport_factory(call) as transport:
        return _answer(transport.handle_request(request), call, max_bytes)


def _request(
    method: str,
    target: address.Target,
    headers: Mapping[str, str],
    json_body: object | None,
    form: Mapping[str, str] | None,
) -> httpx.Request:
    if method not in _METHODS:
        raise RequestInvalid("the method is not GET, HEAD, POST, PUT, PATCH or DELETE")
    ours = {"accept-encoding": "identity", "connection": "close", "user-agent": "agent-platform"}
    given: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise RequestInvalid("a header's name or value holds characters that cannot be sent")
        if key in _OWN_HEADERS or key in given:
            raise RequestInvalid("a header is given twice, or is one that only the platform sets")
        given[key] = value
    content = None
    if form is not None:
        ours["content-type"] = "application/x-www-form-urlencoded"
        content = urlencode(form).encode()
    elif json_body is not None:
        ours["content-type"] = "application/json"
        try:
            content = json.dumps(json_body, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError):
            raise RequestInvalid("the body is not JSON") from None
    url = httpx.URL(scheme=target.scheme, host=target.host, port=target.port, raw_path=target.path.encode())
    return httpx.Request(method, url, headers=ours | given, content=content)


def _answer(response: httpx.Response, call: Call, max_bytes: int) -> HttpAnswer:
    status, headers = response.status_code, dict(response.headers)
    if 300 <= status < 400 and "location" in headers:
        raise RedirectRefused(f"the server answered {status} with a redirect", sent=True)
    if sum(len(name) + len(value) for name, value in response.headers.raw) > HEADERS_MAX_BYTES:
        raise ProtocolFailed("the answer's headers are too long", sent=True)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ProtocolFailed("the answer is compressed, although that was not asked for", sent=True)
    body = bytearray()
    # The stream itself: Response.read() and iter_bytes() know no limit.
    for chunk in cast("Iterable[bytes]", response.stream):
        body += chunk
        if len(body) > max_bytes:
            raise AnswerTooLarge(f"the answer is longer than {max_bytes} bytes", sent=True)
        call.remaining()
    return HttpAnswer(status, headers, bytes(body))


class PinnedTransport(httpx.BaseTransport):
    """One connection for one call, to an address that was checked, closed with the call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._connection: httpcore.HTTPConnection | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request`` and read the head of the answer.

        Raises:
            HttpError: AddressBlocked, ConnectFailed, HttpTimeout or ProtocolFailed.
        """
        to = request.url
        url = httpcore.URL(scheme=to.raw_scheme, host=to.raw_host, port=to.port, target=to.raw_path)
        self._connection = httpcore.HTTPConnection(
            origin=url.origin,
            ssl_context=tls_context() if to.scheme == "https" else None,
            network_backend=_Backend(self._call),
        )
        with _as_protocol_failed(self._call):
            response = self._connection.handle_request(
                httpcore.Request(request.method, url, headers=request.headers.raw, content=request.read())
            )
        return httpx.Response(response.status, headers=response.headers, stream=_Body(response, self._call))

    def close(self) -> None:
        """Close the connection, whatever state it is in."""
        if self._connection is not None:
            self._connection.close()


# The seam for tests of what calls this module: `lambda call: httpx.MockTransport(handler)`. All checks of the
# URL, the request and the answer stay real; the handler may raise the errors above.
transport_factory: Callable[[Call], httpx.BaseTransport] = PinnedTransport


@cache
def tls_context() -> ssl.SSLContext:
    """Certifi's authorities, nothing from the environment; made once, because loading them takes 20-70 ms."""
    return httpx.create_ssl_context(trust_env=False)


@contextmanager
def _as_protocol_failed(call: Call) -> Iterator[None]:
    try:
        yield
    except (httpcore.ProtocolError, httpcore.NetworkError):
        # "from None": h11 quotes what it could not parse, and that may be a header with a secret.
        raise ProtocolFailed("the server broke off, or did not speak HTTP", sent=call.sent) from None


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response, call: Call) -> None:
        self._response = response
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        with _as_protocol_failed(self._call):
            yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Backend(httpcore.NetworkBackend):
    """Opens connections for httpcore: the one place where a name becomes a socket."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check all, then connect to the first address that answers."""
        try:
            addresses = address.resolve(host, port, self._call.remaining())
        except TimeoutError:
            raise HttpTimeout(f"{host} took longer to resolve than the time limit") from None
        except (OSError, UnicodeError):
            raise ConnectFailed(f"{host} does not resolve") from None
        if not all(map(self._may_reach, addresses)):
            raise AddressBlocked(f"{host} has an address that is not public")
        attempts = addresses[:_CONNECT_ATTEMPTS]
        for position, found in enumerate(attempts):
            # A fair share each, so that an address that swallows packets leaves time for the next one.
            share = self._call.remaining() / (len(attempts) - position)
            try:
                return _Stream(address.connect(found, port, share), self._call)
            except OSError:
                continue
        self._call.remaining()
        raise ConnectFailed(f"no connection to {host}")

    def _may_reach(self, found: IPv4Address | IPv6Address) -> bool:
        return address.is_public(found) or (self._call.may_be_private and address.is_operator_network(found))


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation ends with the call.

    httpcore's own stream applies a timeout to each system call: a peer that takes or gives single bytes, each
    just in time, holds it for ever. So the ``timeout`` arguments below give way to what remains of the call.
    """

    def __init__(self, connected: socket.socket, call: Call) -> None:
        self._socket = connected
        self._call = call

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Up to ``max_bytes``; empty at the end."""
        with self._until_deadline(httpcore.ReadError):
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of ``buffer``. A WriteError makes httpcore look for an early answer, such as 413."""
        rest = memoryview(buffer)
        while rest:
            with self._until_deadline(httpcore.WriteError):
                self._call.sent = True  # before send(): a failed one may have sent a part
                rest = rest[self._socket.send(rest) :]

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Handshake. OpenSSL's loop in CPython counts one deadline over all of its reads and writes."""
        try:
            with self._until_deadline(httpcore.ConnectError):
                secure = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except httpcore.ConnectError:
            self.close()
            raise ConnectFailed(f"no trusted TLS connection to {server_hostname}") from None
        except BaseException:
            self.close()
            raise
        return _Stream(secure, self._call)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @contextmanager
    def _until_deadline(self, failure: type[Exception]) -> Iterator[None]:
        self._socket.settimeout(self._call.remaining())
        try:
            yield
        except TimeoutError:
            raise HttpTimeout("the call took longer than its time limit", sent=self._call.sent) from None
        except OSError:
            raise failure from None
