"""HTTP calls on behalf of tenants: the only way a tool call leaves the platform.

The URL, the name server behind it and the server itself are taken for hostile. One call:

1. ``address.parse_url`` reads the URL strictly; the host must be one of ``allowed_hosts``.
2. The name is resolved once. Every address must be public, else nothing is opened: one private address among
   public ones is an attack, not a choice.
3. The socket connects to the checked address itself, so a name server that changes its answer (rebinding)
   is not asked again. The Host header, SNI and the certificate check still use the name.
4. One deadline covers all of it: name, connect, TLS, every read and every write.
5. A redirect is an error, an encoded answer is an error (no decompression, no bomb), the body is cut.

No proxy or netrc from the environment, no cookies, no HTTP/2, no retries: most of that is what a client of a
library would add, so there is none. No connection outlives its call: a pooled one would take the next tenant
past the checks of its own policy. h11 says what is sent and what an answer is; the socket and its time are ours.
httpx and httpcore would cost a seventh of the tool worker's cold start.

What may go wrong: ``shared.clients.http_errors``; the names are known here, too.
"""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlencode

import certifi
import h11

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

HEADERS_MAX_BYTES = 65_536  # of an answer
_HEAD_MAX_BYTES = 102_400  # where h11 stops reading when there is no blank line
_READ_BYTES = 65_536

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
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
        body: as received.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent, with all of its headers, to whom."""

    method: str
    target: address.Target
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an answer as received, and its body as it comes."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: Iterable[bytes]


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
    with exchange(request, call) as response:
        return _answer(response, call, max_bytes)


def _request(
    method: str,
    target: address.Target,
    headers: Mapping[str, str],
    json_body: object | None,
    form: Mapping[str, str] | None,
) -> Request:
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
    content = b""
    if form is not None:
        ours["content-type"] = "application/x-www-form-urlencoded"
        content = urlencode(form).encode()
    elif json_body is not None:
        ours["content-type"] = "application/json"
        try:
            content = json.dumps(json_body, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError):
            raise RequestInvalid("the body is not JSON") from None
    if content or method in _WITH_BODY:
        ours["Content-Length"] = str(len(content))
    return Request(method, target, {"Host": _host(target)} | ours | given, content)


def _host(target: address.Target) -> str:
    """As a client writes it: without the port that the scheme has anyway."""
    usual = target.port == (443 if target.scheme == "https" else 80)
    return target.host_port.removesuffix(f":{target.port}") if usual else target.host_port


def _answer(response: Response, call: Call, max_bytes: int) -> HttpAnswer:
    status, headers = response.status, _headers(response.headers)
    if 300 <= status < 400 and "location" in headers:
        raise RedirectRefused(f"the server answered {status} with a redirect", sent=True)
    if sum(len(name) + len(value) for name, value in response.headers) > HEADERS_MAX_BYTES:
        raise ProtocolFailed("the answer's headers are too long", sent=True)
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ProtocolFailed("the answer is compressed, although that was not asked for", sent=True)
    body = bytearray()
    for chunk in response.body:
        body += chunk
        if len(body) > max_bytes:
            raise AnswerTooLarge(f"the answer is longer than {max_bytes} bytes", sent=True)
        call.remaining()
    return HttpAnswer(status, headers, bytes(body))


def _headers(received: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw_name, raw in received:
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            value = raw.decode("latin-1")
        name = raw_name.decode("ascii").lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


@contextmanager
def _exchange(request: Request, call: Call) -> Iterator[Response]:
    """One connection for one call, closed with it."""
    target = request.target
    with closing(_Stream(_connected(target.host, target.port, call), call)) as stream:
        if target.scheme == "https":
            stream.start_tls(target.host)
        yield _response(request, stream, call)


# The seam for tests of what calls this module; it may raise the errors above. All checks stay real.
exchange: Callable[[Request, Call], AbstractContextManager[Response]] = _exchange


@cache
def tls_context() -> ssl.SSLContext:
    """Certifi's authorities, nothing from the environment; made once, because loading them takes 20-70 ms."""
    context = ssl.create_default_context(cafile=certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


class _BrokenOff(Exception):
    """The connection ended in the middle."""


def _response(request: Request, stream: "_Stream", call: Call) -> Response:
    """Send the request and read the head of the answer."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_MAX_BYTES)
    with _as_protocol_failed(call):
        path = address.request_target(request.target.path)
        head = h11.Request(method=request.method, target=path, headers=list(request.headers.items()))
        message = connection.send(head) or b""
        if request.content:
            message += connection.send(h11.Data(data=request.content)) or b""
        message += connection.send(h11.EndOfMessage()) or b""
        # A server may answer, such as 413, and take no more: then it is the answer that counts.
        with suppress(_BrokenOff):
            stream.write(message)
        event = _next(connection, stream)
        while isinstance(event, h11.InformationalResponse):
            event = _next(connection, stream)
        if not isinstance(event, h11.Response):
            raise _BrokenOff
        return Response(event.status_code, event.headers.raw_items(), _body(connection, stream, call))


def _body(connection: h11.Connection, stream: "_Stream", call: Call) -> Iterator[bytes]:
    with _as_protocol_failed(call):
        while isinstance(event := _next(connection, stream), h11.Data):
            yield bytes(event.data)


def _next(connection: h11.Connection, stream: "_Stream") -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(stream.read())
    return event


@contextmanager
def _as_protocol_failed(call: Call) -> Iterator[None]:
    try:
        yield
    except (h11.ProtocolError, _BrokenOff):
        # "from None": h11 quotes what it could not parse, and that may be a header with a secret.
        raise ProtocolFailed("the server broke off, or did not speak HTTP", sent=call.sent) from None


def _connected(host: str, port: int, call: Call) -> socket.socket:
    """Resolve, check all, then connect to the first address that answers: the one place where a name becomes a socket.

    Raises:
        HttpError: AddressBlocked, ConnectFailed or HttpTimeout.
    """
    try:
        addresses = address.resolve(host, port, call.remaining())
    except TimeoutError:
        raise HttpTimeout(f"{host} took longer to resolve than the time limit") from None
    except (OSError, UnicodeError):
        raise ConnectFailed(f"{host} does not resolve") from None
    if not all(_may_reach(found, call) for found in addresses):
        raise AddressBlocked(f"{host} has an address that is not public")
    attempts = addresses[:_CONNECT_ATTEMPTS]
    for position, found in enumerate(attempts):
        # A fair share each, so that an address that swallows packets leaves time for the next one.
        share = call.remaining() / (len(attempts) - position)
        try:
            return address.connect(found, port, share)
        except OSError:
            continue
    call.remaining()
    raise ConnectFailed(f"no connection to {host}")


def _may_reach(found: IPv4Address | IPv6Address, call: Call) -> bool:
    return address.is_public(found) or (call.may_be_private and address.is_operator_network(found))


class _Stream:
    """A socket whose every operation ends with the call.

    A timeout for each would not do: a peer that takes or gives single bytes, each just in time, holds it for ever.
    """

    def __init__(self, connected: socket.socket, call: Call) -> None:
        self._socket = connected
        self._call = call

    def read(self) -> bytes:
        """What has come; empty at the end."""
        with self._until_deadline():
            return self._socket.recv(_READ_BYTES)

    def write(self, data: bytes) -> None:
        """All of it."""
        rest = memoryview(data)
        while rest:
            with self._until_deadline():
                self._call.sent = True  # before send(): a failed one may have sent a part
                rest = rest[self._socket.send(rest) :]

    def start_tls(self, host: str) -> None:
        """Handshake. OpenSSL's loop in CPython counts one deadline over all of its reads and writes."""
        try:
            with self._until_deadline():
                self._socket = tls_context().wrap_socket(self._socket, server_hostname=host)
        except _BrokenOff:
            raise ConnectFailed(f"no trusted TLS connection to {host}") from None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    @contextmanager
    def _until_deadline(self) -> Iterator[None]:
        self._socket.settimeout(self._call.remaining())
        try:
            yield
        except TimeoutError:
            raise HttpTimeout("the call took longer than its time limit", sent=self._call.sent) from None
        except OSError:
            raise _BrokenOff from None
