"""The rules of `http.send`, on a network made of paper: nothing here opens a socket.

`test_address.py` has the tables of addresses and URLs, `test_http_servers.py` the hostile servers.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import httpx
import pytest

from shared.clients import address, http
from tests.unit.support.server import exchanging

SECRET = "s3cr3t-value"


def call(url: str, **options: Any) -> http.HttpAnswer:
    """``send`` with defaults."""
    defaults: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {SECRET}"},
        "timeout_ms": 30_000,
        "max_bytes": 1_000,
        "allowed_hosts": frozenset({"a.example", "127.0.0.1", "::1"}),
    }
    return http.send(options.pop("method", "GET"), url, **(defaults | options))


def _entry(found: str) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 443))


class Sealed:
    """A network on paper: names from a table, and a list of the connections that would have been made."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.opened: list[tuple[str, int]] = []

    def getaddrinfo(self, host: str, _port: int, **_options: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        found = self.names.get(host, [host])
        return [_entry(entry) for entry in found]

    def connect(self, found: IPv4Address | IPv6Address, port: int, _timeout: float) -> Any:
        self.opened.append((str(found), port))
        raise ConnectionRefusedError


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Sealed:
    network = Sealed()
    monkeypatch.setattr(socket, "getaddrinfo", network.getaddrinfo)
    monkeypatch.setattr(address, "connect", network.connect)
    return network


@pytest.mark.parametrize("denied", ["127.0.0.1", "169.254.169.254", "64:ff9b::a9fe:a9fe", "::ffff:10.0.0.1"])
@pytest.mark.parametrize("place", [0, 1, 2, 9])
def test_one_denied_address_among_public_ones_blocks_all(sealed: Sealed, denied: str, place: int) -> None:
    found = [f"1.1.1.{number}" for number in range(9)]
    sealed.names["a.example"] = [*found[:place], denied, *found[place:]]
    with pytest.raises(http.AddressBlocked):
        call("http://a.example/")
    assert sealed.opened == []


def test_the_checked_address_is_called_and_the_name_is_asked_once(
    sealed: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["1.1.1.1", "127.0.0.1"])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [_entry(next(answers))])
    with pytest.raises(http.ConnectFailed):
        call("http://a.example:8080/")
    assert sealed.opened == [("1.1.1.1", 8080)]
    with pytest.raises(http.AddressBlocked):  # and the next call is checked anew
        call("http://a.example:8080/")
    assert sealed.opened == [("1.1.1.1", 8080)]


def test_the_next_address_is_tried_but_not_hundreds(sealed: Sealed) -> None:
    sealed.names["a.example"] = [f"1.1.1.{number}" for number in range(200)]
    with pytest.raises(http.ConnectFailed) as failed:
        call("http://a.example/")
    assert sealed.opened == [(f"1.1.1.{number}", 80) for number in range(4)]
    assert not failed.value.sent


@pytest.mark.parametrize(
    "host",
    ["b.example", "a.example.evil.example", "evil-a.example", "xa.example", "sub.a.example", "example",
     "a.exampl", "127.0.0.1", "xn--a.example", "\u0430.example"],  # the last begins with a Cyrillic a
)  # fmt: skip
def test_a_host_outside_the_allow_list_is_not_even_resolved(sealed: Sealed, host: str) -> None:
    with pytest.raises((http.HostNotAllowed, http.UrlInvalid)):
        call(f"https://{host}/", allowed_hosts=frozenset({"a.example"}))
    assert (sealed.asked, sealed.opened) == ([], [])


@pytest.mark.parametrize(
    "entry", ["https://a.example", "a.example:443", "a.example/", "*", "*.example", "", "A.example"]
)
def test_an_allow_list_entry_is_a_host_and_nothing_else(sealed: Sealed, entry: str) -> None:
    with pytest.raises(http.HostNotAllowed):
        call("https://a.example/", allowed_hosts=frozenset({entry}))


def test_spellings_of_an_allowed_host_are_that_host(sealed: Sealed) -> None:
    sealed.names = {"a.example": ["1.1.1.1"], "xn--bcher-kva.example": ["1.1.1.2"]}
    for url in ("http://A.EXAMPLE/", "http://a.example./", "http://a.example:80/", "http://BÜCHER.example/"):
        with pytest.raises(http.ConnectFailed):
            call(url, allowed_hosts=frozenset({"a.example", "xn--bcher-kva.example"}))
    assert sealed.opened == [("1.1.1.1", 80)] * 3 + [("1.1.1.2", 80)]


LOCAL = frozenset({"127.0.0.1:8001", "[::1]:8001", "echo:8001", "evil:8001"})


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8001/", "http://[::1]:8001/", "http://echo:8001/", "https://echo:8001/"]
)
def test_a_private_host_is_reached(sealed: Sealed, url: str) -> None:
    sealed.names["echo"] = ["172.17.0.2"]
    with pytest.raises(http.ConnectFailed):
        call(url, allowed_hosts=frozenset({"127.0.0.1", "::1", "echo"}), private_hosts=LOCAL)
    assert len(sealed.opened) == 1


@pytest.mark.parametrize(
    ("url", "found", "error"),
    [
        ("http://127.0.0.1:9001/", None, http.AddressBlocked),  # the Lambda Runtime API
        ("http://127.0.0.1/", None, http.AddressBlocked),
        ("http://127.0.0.2:8001/", None, http.AddressBlocked),
        (
            "http://a.example:8001/",
            "127.0.0.1",
            http.AddressBlocked,
        ),  # a public name is not the entry's address
        ("http://localhost:8001/", "127.0.0.1", http.AddressBlocked),
        ("http://[::ffff:127.0.0.1]:8001/", None, http.AddressBlocked),
        ("http://evil:8001/", "169.254.169.254", http.AddressBlocked),
        ("http://evil:8001/", "fd00:ec2::254", http.AddressBlocked),
        ("http://evil:8001/", "0.0.0.0", http.AddressBlocked),
        ("http://echo:8001/", "127.0.0.1", http.HostNotAllowed),
        ("http://2130706433:8001/", None, http.UrlInvalid),
    ],
)
def test_private_hosts_weaken_nothing_else(
    sealed: Sealed, url: str, found: str | None, error: type[http.HttpError]
) -> None:
    allowed = frozenset({"127.0.0.1", "127.0.0.2", "a.example", "localhost", "evil", "::ffff:7f00:1"})
    for host in allowed | {"echo"}:
        sealed.names[host] = [found or host]
    with pytest.raises(error):
        call(url, allowed_hosts=allowed, private_hosts=LOCAL)
    assert sealed.opened == []


def test_a_private_host_on_a_low_port_stays_closed(sealed: Sealed) -> None:
    with pytest.raises(http.UrlInvalid):
        call("http://127.0.0.1:22/", private_hosts=frozenset({"127.0.0.1:22"}))


def test_proxies_of_the_environment_are_not_asked(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:3128")
    sealed.names["a.example"] = ["1.1.1.1"]
    with pytest.raises(http.ConnectFailed):
        call("http://a.example/")
    assert sealed.opened == [("1.1.1.1", 80)]


def test_a_name_that_does_not_exist(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: Any, **_options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(http.ConnectFailed, match=r"^a\.example does not resolve$"):
        call("http://a.example/")


def test_a_name_server_that_hangs_ends_with_the_call(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    ended, found = threading.Event(), threading.Event()

    def hang(*_args: Any, **_options: Any) -> Any:
        ended.wait(60)
        found.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(http.HttpTimeout) as late:
        call("http://a.example/", timeout_ms=100)
    assert not found.is_set(), "the call waited for the name"
    ended.set()
    assert not late.value.sent


def test_addresses_that_swallow_packets_share_the_time(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def swallow(_found: object, _port: int, timeout: float) -> Any:
        nonlocal now
        shares.append(timeout)
        now += timeout
        raise TimeoutError

    monkeypatch.setattr(address, "connect", swallow)
    sealed.names["a.example"] = ["2606:4700::1111", "1.1.1.1"]
    with pytest.raises(http.HttpTimeout) as late:
        call("http://a.example/", timeout_ms=200)
    assert shares == [pytest.approx(0.1), pytest.approx(0.1)]
    assert not late.value.sent


def mocked(monkeypatch: pytest.MonkeyPatch, handler: Callable[[httpx.Request], httpx.Response]) -> None:
    """The seam as the tests of the tool worker use it."""
    monkeypatch.setattr(http, "exchange", exchanging(handler))


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "a\r\nX-Injected: 1"}, {"X-A": "a\nb"}, {"X-A": "a\rb"}, {"X-A": "a\r\n"}, {"X-A": "a\0b"},
        {"X-A": "a\x7f"}, {"X-A": "\x1b"}, {"X-A": "\xe9"}, {"X-A": "\u010a"}, {"X-A": " a"}, {"X-A": "a "},
        {"X-A\r\nX-B": "1"}, {"X A": "1"}, {"X-A:": "1"}, {"": "1"}, {"X-\xc9": "1"}, {"X-A": "1", "x-a": "2"},
        {"Host": "evil.example"}, {"host": "evil.example"}, {"Content-Length": "0"}, {"Upgrade": "h2c"},
        {"Transfer-Encoding": "chunked"}, {"Connection": "keep-alive"}, {"Expect": "100-continue"},
        {"Accept-Encoding": "gzip"}, {"TE": "trailers"}, {"Trailer": "X-A"}, {"Proxy-Authorization": "Basic x"},
    ],
)  # fmt: skip
def test_headers_that_could_change_the_message_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(http.RequestInvalid) as refused:
        call("http://a.example/", headers={"Authorization": SECRET} | headers)
    assert not refused.value.sent
    assert not any(value and value in str(refused.value) for value in headers.values() if len(value) > 3)


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "OPTIONS", "get", "GET / HTTP/1.1\r\nX: ", ""])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(http.RequestInvalid):
        call("http://a.example/", method=method)


@pytest.mark.parametrize("body", [float("nan"), {"a": float("inf")}, {1, 2}, {"a": b"bytes"}])
def test_a_body_that_is_no_json_is_refused(body: object) -> None:
    with pytest.raises(http.RequestInvalid):
        call("http://a.example/", method="POST", json_body=body)


def test_a_request_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201, json={"ok": True}, headers=[("X-A", "1"), ("x-a", "2")])

    mocked(monkeypatch, handle)
    answer = call(
        "https://a.example:8443/hoök?k=v#part",
        method="POST",
        headers={"Authorization": f"Bearer {SECRET}", "Idempotency-Key": "run:1"},
        params=[("q", "a&b")],
        json_body={"text": "ü\ud800"},
    )
    assert (answer.status, json.loads(answer.body), answer.headers["x-a"]) == (201, {"ok": True}, "1, 2")
    assert str(requests[0].url) == "https://a.example:8443/ho%C3%B6k?k=v&q=a%26b"
    assert requests[0].content == rb'{"text":"\u00fc\ud800"}'
    assert dict(requests[0].headers) == {
        "host": "a.example:8443",
        "accept-encoding": "identity",
        "connection": "close",
        "user-agent": "agent-platform",
        "content-type": "application/json",
        "content-length": str(len(requests[0].content)),
        "authorization": f"Bearer {SECRET}",
        "idempotency-key": "run:1",
    }


def test_the_seam_passes_errors_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise http.HttpTimeout("too late", sent=True)

    mocked(monkeypatch, fail)
    with pytest.raises(http.HttpTimeout):
        call("https://a.example/")


def test_a_null_body_is_no_body_and_false_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mocked(monkeypatch, lambda request: httpx.Response(200, content=request.content))
    assert call("https://a.example/", method="POST", json_body=None).body == b""
    assert call("https://a.example/", method="POST", json_body=False).body == b"false"


@pytest.mark.parametrize("status", [200, 204, 300, 304, 400, 404, 429, 500, 503])
def test_every_status_without_a_redirect_is_an_answer(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    mocked(monkeypatch, lambda _request: httpx.Response(status))
    assert call("https://a.example/").status == status


def test_codes_are_stable() -> None:
    assert {error.code for error in http.HttpError.__subclasses__()} == {
        "address_blocked", "answer_too_large", "connect_failed", "host_not_allowed", "protocol_error",
        "redirect_refused", "request_invalid", "timeout", "url_invalid",
    }  # fmt: skip
