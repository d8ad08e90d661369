"""The outgoing client against hostile servers: real sockets on loopback, opened by `private_hosts`."""

import datetime
import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.clients import http
from tests.unit.support.busy import in_time

SECRET = "s3cr3t-value"
on_loopback = pytest.mark.allow_hosts(["127.0.0.1"])


def call(url: str, **options: Any) -> http.HttpAnswer:
    """``send`` with defaults."""
    defaults: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {SECRET}"},
        "timeout_ms": 30_000,
        "max_bytes": 1_000,
        "allowed_hosts": frozenset({"127.0.0.1"}),
    }
    return http.send(options.pop("method", "GET"), url, **(defaults | options))


class Server:
    """One hostile behaviour behind a real socket; each connection runs ``serve`` in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket, "Server"], None]) -> None:
        self.requests: list[bytes] = []
        self.names: list[str | None] = []  # that a TLS client asked for
        self.over = threading.Event()
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.over.is_set():
                connection.close()
                return
            self.threads.append(threading.Thread(target=self._run, args=(connection,)))
            self.threads[-1].start()

    def _run(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client hangs up, as it should
            self._serve(connection, self)

    def read_request(self, connection: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received and (part := connection.recv(65_536)):
            received += part
        self.requests.append(received)

    def drip(self, connection: socket.socket, data: bytes, every: float = 0.02) -> None:
        """Send one byte at a time, each early enough for any timeout per read."""
        for position in range(len(data)):
            connection.sendall(data[position : position + 1])
            if self.over.wait(every):
                return

    def close(self) -> None:
        if self.over.is_set():
            return
        self.over.set()
        # Not create_connection: a test may have replaced the look-up that it makes.
        with socket.socket() as waking:
            waking.connect(("127.0.0.1", self.port))
        for thread in self.threads:
            thread.join(5)
        self._listener.close()


Behaviour = Callable[[socket.socket, Server], None]
Serve = Callable[[Behaviour], Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    running: list[Server] = []

    def start(behaviour: Behaviour) -> Server:
        running.append(Server(behaviour))
        return running[-1]

    yield start
    for server in running:
        server.close()


def answering(data: bytes) -> Behaviour:
    def behave(connection: socket.socket, server: Server) -> None:
        server.read_request(connection)
        connection.sendall(data)

    return behave


def call_server(server: Server, path: str = "/", **options: Any) -> http.HttpAnswer:
    local = frozenset({f"127.0.0.1:{server.port}"})
    return call(f"http://127.0.0.1:{server.port}{path}", private_hosts=local, **options)


def ends_in_time(
    ask: Callable[..., http.HttpAnswer], server: Server, milliseconds: int, *, sent: bool = True, **options: Any
) -> None:
    """Fails unless the call ends with its time, and knows whether the server may have heard of it."""

    def late() -> http.HttpTimeout:
        with pytest.raises(http.HttpTimeout) as error:
            ask(server, timeout_ms=milliseconds, **options)
        return error.value

    in_time((milliseconds + 400) / 1000, late, lambda error: error.sent == sent)


@on_loopback
class TestServers:
    def test_a_plain_answer(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nX-Foo: Bar\r\nContent-Length: 2\r\n\r\nhi"))
        answer = call_server(server, "/a/../b?c")
        assert answer == http.HttpAnswer(200, {"x-foo": "Bar", "content-length": "2"}, b"hi")
        assert server.requests[0].startswith(b"GET /b?c HTTP/1.1\r\n")
        assert b"\r\nHost: 127.0.0.1:%d\r\n" % server.port in server.requests[0]

    def test_every_call_has_a_connection_of_its_own(self, serve: Serve) -> None:
        def keep_alive(connection: socket.socket, server: Server) -> None:
            while not server.over.is_set():
                server.read_request(connection)
                if not server.requests[-1]:
                    server.requests.pop()
                    return
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")

        server = serve(keep_alive)
        for _ in range(3):
            assert call_server(server).body == b"x"
        assert (len(server.requests), len(server.threads)) == (3, 4)  # the listener, and one for each connection

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 304])
    @pytest.mark.parametrize("to", ["http://169.254.169.254/latest/meta-data/", "//evil.example/", "/elsewhere", ""])
    def test_a_redirect_is_an_error(self, serve: Serve, status: int, to: str) -> None:
        server = serve(answering(f"HTTP/1.1 {status} Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()))
        with pytest.raises(http.RedirectRefused) as refused:
            call_server(server)
        assert refused.value.sent
        assert to not in str(refused.value) or not to
        assert len(server.requests) == 1

    def test_a_secret_header_stays_with_its_host(self, serve: Serve) -> None:
        other = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        to_other = f"HTTP/1.1 307 Go\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
        server = serve(answering(to_other.encode()))
        both = frozenset({f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"})
        with pytest.raises(http.RedirectRefused) as refused:
            call(f"http://127.0.0.1:{server.port}/", private_hosts=both)
        assert SECRET.encode() in server.requests[0]
        assert other.requests == []
        assert SECRET not in str(refused.value)

    def test_no_cookie_is_kept(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"))
        call_server(server)
        call_server(server)
        assert b"cookie" not in server.requests[1].lower()

    @pytest.mark.parametrize(
        "head",
        [b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
         b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n989680\r\n"],
        ids=["announced", "until the end", "chunked"],
    )  # fmt: skip
    def test_ten_megabytes_are_cut(self, serve: Serve, head: bytes) -> None:
        sent: list[int] = []

        def flood(connection: socket.socket, server: Server) -> None:
            server.read_request(connection)
            connection.sendall(head)
            for _ in range(1_000):
                connection.sendall(b"x" * 10_000)
                sent.append(10_000)

        server = serve(flood)
        with pytest.raises(http.AnswerTooLarge) as cut:
            call_server(server, max_bytes=1_000)
        server.close()
        assert cut.value.sent
        assert sum(sent) < 10_000_000  # the connection was closed, not drained

    def test_the_limit_itself_fits_and_one_byte_more_does_not(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000))
        assert len(call_server(server, max_bytes=1_000).body) == 1_000
        with pytest.raises(http.AnswerTooLarge):
            call_server(server, max_bytes=999)

    @pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x-unknown"])
    def test_a_compressed_answer_is_not_unpacked(self, serve: Serve, encoding: str) -> None:
        bomb = gzip.compress(b"\0" * 50_000_000, compresslevel=1) if encoding == "gzip" else b"?"
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
        server = serve(answering(head.encode() + bomb))

        def refused() -> http.ProtocolFailed:
            with pytest.raises(http.ProtocolFailed, match="compressed") as error:
                call_server(server, max_bytes=10_000_000)
            return error.value

        assert in_time(0.9, refused).sent
        assert b"accept-encoding: identity\r\n" in server.requests[0].lower()

    def test_an_identity_encoding_is_none(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 1\r\n\r\nx"))
        assert call_server(server).body == b"x"

    @pytest.mark.parametrize("size", [65_600, 130_000, 1_000_000])
    def test_headers_over_64_kb_are_refused(self, serve: Serve, size: int) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nX-A: " + b"x" * size + b"\r\nContent-Length: 0\r\n\r\n"))
        with pytest.raises(http.ProtocolFailed):
            call_server(server)

    @pytest.mark.parametrize(
        "answer",
        [
            b"", b"\r\n", b"hello\r\n\r\n", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/2 200\r\n\r\n",
            b"HTTP/1.1 99 Low\r\n\r\n",
            b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
    )  # fmt: skip
    def test_what_is_no_http_answer_is_an_error(self, serve: Serve, answer: bytes) -> None:
        with pytest.raises(http.ProtocolFailed) as failed:
            call_server(serve(answering(answer)))
        assert failed.value.sent
        assert failed.value.__cause__ is None

    def test_an_early_refusal_of_a_large_body_is_an_answer(self, serve: Serve) -> None:
        refuse = answering(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")  # and hangs up in mid-request
        assert call_server(serve(refuse), method="POST", json_body="x" * 8_000_000).status == 413

    def test_silence(self, serve: Serve) -> None:
        server = serve(lambda connection, server: server.drip(connection, b"H", every=5))
        ends_in_time(call_server, server, 200)

    @pytest.mark.parametrize(
        "start",
        [b"", b"X-A: ", b"Content-Length: 900\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n300\r\n"],
        ids=["status line", "header", "body", "body until the end", "chunk"],
    )  # fmt: skip
    def test_a_slow_loris_ends_with_the_call(self, serve: Serve, start: bytes) -> None:
        def drip(connection: socket.socket, server: Server) -> None:
            server.read_request(connection)
            ok = b"HTTP/1.1 200 OK\r\n"
            connection.sendall(ok + start if start else b"")
            server.drip(connection, b"x" * 500 if start else ok + b"X-A: 1234567890")

        ends_in_time(call_server, serve(drip), 300)

    def test_a_flood_of_interim_answers_ends_with_the_call(self, serve: Serve) -> None:
        def flood(connection: socket.socket, server: Server) -> None:
            server.read_request(connection)
            while not server.over.is_set():
                connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 1_000)

        ends_in_time(call_server, serve(flood), 300)

    def test_a_server_that_reads_slowly_ends_with_the_call(self, serve: Serve) -> None:
        def sip(connection: socket.socket, server: Server) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            while not server.over.wait(0.02):
                connection.recv(4_096)

        ends_in_time(call_server, serve(sip), 1_500, method="POST", json_body="x" * 8_000_000)

    def test_nobody_listens(self, serve: Serve) -> None:
        server = serve(answering(b""))
        server.close()
        with pytest.raises(http.ConnectFailed) as failed:
            call_server(server)
        assert not failed.value.sent

    def test_a_server_off_the_private_list_gets_nothing(self, serve: Serve) -> None:
        server = serve(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        with pytest.raises(http.AddressBlocked):
            call(f"http://127.0.0.1:{server.port}/")
        assert len(server.threads) == 1  # nobody came


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for a.example, its own authority, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("a.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "a.example.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    pem.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return pem


@pytest.fixture
def tls(certificate: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """A TLS server for a.example; every name resolves to loopback, and the client trusts the certificate."""
    monkeypatch.setattr(http, "tls_context", lambda: ssl.create_default_context(cafile=certificate))
    resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: resolved)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def start(behaviour: Behaviour) -> Server:
        def behave(connection: socket.socket, server: Server) -> None:
            context.sni_callback = lambda _socket, name, _context: server.names.append(name)
            with context.wrap_socket(connection, server_side=True) as secure:
                behaviour(secure, server)

        return serve(behave)

    return start


def call_tls(server: Server, name: str = "a.example", **options: Any) -> http.HttpAnswer:
    local = frozenset({f"{name}:{server.port}"})
    return call(f"https://{name}:{server.port}/", private_hosts=local, allowed_hosts=frozenset({name}), **options)


@on_loopback
class TestTls:
    def test_name_certificate_and_host_header_are_those_of_the_url(self, tls: Serve) -> None:
        server = tls(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        assert call_tls(server).body == b"hi"
        assert server.names == ["a.example"]
        assert b"\r\nHost: a.example:%d\r\n" % server.port in server.requests[0]

    def test_a_certificate_for_another_name_is_refused(self, tls: Serve) -> None:
        server = tls(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        with pytest.raises(http.ConnectFailed, match="TLS") as failed:
            call_tls(server, "b.example")
        assert not failed.value.sent
        assert server.requests == []

    def test_an_unknown_authority_is_refused(self, tls: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "tls_context", httpx.create_ssl_context)
        server = tls(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"))
        with pytest.raises(http.ConnectFailed, match="TLS"):
            call_tls(server)
        assert server.requests == []

    def test_a_server_without_tls_is_refused(self, tls: Serve, serve: Serve) -> None:
        server = serve(lambda connection, _server: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n"))
        with pytest.raises(http.ConnectFailed, match="TLS"):
            call_tls(server)

    @pytest.mark.parametrize("silent", [True, False], ids=["silent", "dripping"])
    def test_a_handshake_that_never_ends_ends_with_the_call(self, tls: Serve, serve: Serve, silent: bool) -> None:
        record = b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + b"\0" * 500  # the start of a long ServerHello
        server = serve(lambda connection, server: server.drip(connection, record, every=5 if silent else 0.02))
        ends_in_time(call_tls, server, 300, sent=False)

    def test_a_slow_body_inside_tls_ends_with_the_call(self, tls: Serve) -> None:
        def drip(connection: socket.socket, server: Server) -> None:
            server.read_request(connection)
            server.drip(connection, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 500)

        ends_in_time(call_tls, tls(drip), 300)

    def test_the_environment_adds_no_authority(self, monkeypatch: pytest.MonkeyPatch, certificate: Path) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        http.tls_context.cache_clear()
        context = http.tls_context()
        assert len(context.get_ca_certs()) > 50
        assert "a.example" not in str(context.get_ca_certs())
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
