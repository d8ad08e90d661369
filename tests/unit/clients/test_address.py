"""Where a URL may lead: every class of address, and every spelling that two parsers read differently.

What must not be reached is also asked of `http.send`, and then nothing may have been opened.
"""

import ipaddress
import random
import socket
from contextlib import suppress
from typing import Any

import httpx
import pytest

from shared.clients import address, http
from tests.unit.support.addresses import BAD_URLS, DENIED


def _entry(found: str) -> tuple[Any, ...]:
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, 443))


PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "128.0.0.1",
    "168.63.129.15", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.169.0.0",
    "198.20.0.0", "223.255.255.255", "52.94.236.248",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::200e", "2600:1f00::1",
]  # fmt: skip


@pytest.mark.parametrize("denied", DENIED.values(), ids=DENIED.keys())
def test_special_addresses_are_not_public(denied: str) -> None:
    assert not address.is_public(ipaddress.ip_address(denied))


@pytest.mark.parametrize("denied", DENIED.values(), ids=DENIED.keys())
def test_the_deny_list_stands_without_ipaddress(monkeypatch: pytest.MonkeyPatch, denied: str) -> None:
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    monkeypatch.setattr(ipaddress.IPv6Address, "is_global", True)
    assert not address.is_public(ipaddress.ip_address(denied))


@pytest.mark.parametrize("public", PUBLIC)
def test_the_neighbours_of_special_blocks_are_public(public: str) -> None:
    assert address.is_public(ipaddress.ip_address(public))


@pytest.mark.parametrize("found", ["127.0.0.1", "10.0.0.1", "172.17.0.2", "192.168.1.1", "::1", "fd12::1"])
def test_an_operator_may_open_their_own_networks(found: str) -> None:
    assert address.is_operator_network(ipaddress.ip_address(found))


NEVER_OPENED = [found for name, found in DENIED.items() if "metadata" in name or "mapped" in name] + [
    "0.0.0.0", "100.64.0.1", "169.254.1.1", "224.0.0.251", "255.255.255.255", "::", "fe80::1", "fd12::1%eth0",
]  # fmt: skip


@pytest.mark.parametrize("found", NEVER_OPENED)
def test_an_operator_opens_neither_metadata_nor_anything_odd(found: str) -> None:
    assert not address.is_operator_network(ipaddress.ip_address(found))


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example.", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("例え。jp", "xn--r8jz45g.jp"),
        ("\u212aelvin.example", "kelvin.example"),  # the Kelvin sign is lower-cased to an ASCII k
        ("my_service", "my_service"),
        ("1password.com", "1password.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("127。0。0。1", "127.0.0.1"),  # ideographic dots: read as the address, so judged as the address
        ("[2606:4700:0:0::1111]", "2606:4700::1111"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("[::FFFF:1.2.3.4]", "::ffff:102:304"),
    ],
)
def test_hosts_have_one_spelling(host: str, canonical: str) -> None:
    assert address.canonical_host(host) == canonical
    assert address.canonical_host(canonical) == canonical


# Spellings that libc, browsers or other parsers turn into something else than they look like.
BAD_HOSTS = [
    "", ".", "..", ".example.com", "example..com", "example.com..", "-a.example", "a-.example",
    "127.1", "127.0.1", "2130706433", "017700000001", "0177.0.0.1", "0x7f.1", "0x7f000001", "0X7F.0.0.1",
    "127.0.0.01", "127.0.0.1.1", "256.1.1.1", "1.2.3", "example.0x7f", "example.1", "0",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "\uff4cocalhost", "\u24d4xample.com",  # wide, circled
    "exa mple.com", "exa%6dple.com", "example.com%00",
    "a" * 64 + ".example", ".".join(["a" * 60] * 5), "é" * 300,
    "xn--\u00fc.example", "xn--a.example", "XN--.example", "a.xn--", "xn--ls8h.la",
    "fe80::1%eth0", "[fe80::1%25eth0]", "[::1", "::1]", "[127.0.0.1]", "[::1]]", "[]", "1:2", "::ffff:127.1",
]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_ambiguous_hosts_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"^the host is"):
        address.canonical_host(host)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.com", address.Target("http", "example.com", 80, "/")),
        ("HTTPS://Example.com./A?b=c", address.Target("https", "example.com", 443, "/A?b=c")),
        ("https://example.com:8443?q", address.Target("https", "example.com", 8443, "/?q")),
        ("https://example.com/ü%20%2f?ü", address.Target("https", "example.com", 443, "/%C3%BC%20%2f?%C3%BC")),
        ("https://example.com/a?", address.Target("https", "example.com", 443, "/a")),
        ("http://[2606:4700::1111]:1024/", address.Target("http", "2606:4700::1111", 1024, "/")),
        ("http://evil.example#@good.example/", address.Target("http", "evil.example", 80, "/")),
        (
            "http://evil.example?@good.example/",
            address.Target("http", "evil.example", 80, "/?@good.example/"),
        ),
        ("http://evil.example/@good.example", address.Target("http", "evil.example", 80, "/@good.example")),
        ("http://a.example//b.example/", address.Target("http", "a.example", 80, "//b.example/")),
    ],
)
def test_urls_are_read_one_way(url: str, target: address.Target) -> None:
    assert address.parse_url(url) == target


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_urls_that_parsers_may_read_differently_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^the (URL|host)"):
        address.parse_url(url)


PIECES = [
    "http://", "https://", "//", "/", "\\", "@", "#", "?", "[", "]", ":", ":80", ":8443", "::1", "127.0.0.1", "0x7f",
    "1", "a.example", "xn--bcher-kva", "xn--", "xn--a-0", ".", "..", "-", "_", "%", "%2f", "%zz", " ", "\t",
    "\r\n", "\xe9", "\xdf", "\u0130", "\u017f", "\u212a", "\u3002", "\uff0e", "\u200d",
    "\u05d0", "\ud800", "\U0001f600", "<", '"', "{",
]  # fmt: skip


def test_httpx_reads_every_url_that_we_accept_as_we_do() -> None:
    dice = random.Random(7)  # the same URLs each time
    accepted = 0
    for _ in range(5_000):
        url = "http://a.example" * dice.randint(0, 1) + "".join(dice.choices(PIECES, k=dice.randint(1, 5)))
        with suppress(ValueError):
            ours, theirs = address.parse_url(url), httpx.URL(url)
            assert theirs.raw_host.decode().removesuffix(".") == ours.host
            assert (theirs.scheme, theirs.port or {"http": 80, "https": 443}[ours.scheme]) == (ours.scheme, ours.port)
            accepted += 1
    assert accepted > 100


def test_params_are_appended_and_the_rest_of_the_query_stays_as_written() -> None:
    target = address.parse_url("https://example.com/?sig=a%2Bb+c&flag", [("q", "ä & b"), ("to", "x\r\ny")])
    assert target.path == "/?sig=a%2Bb+c&flag&q=%C3%A4%20%26%20b&to=x%0D%0Ay"


def test_params_count_for_the_length() -> None:
    with pytest.raises(ValueError, match="too long"):
        address.parse_url("https://example.com/", [("q", "a" * 8_192)])


def test_refusals_do_not_repeat_the_url() -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is what is tested
        address.parse_url("http://user:hunter2@example.com/?token=hunter3")
    assert "hunter" not in str(refused.value)


def test_host_port_is_written_as_operators_write_it() -> None:
    assert address.parse_url("http://LOCALHOST:8001/").host_port == "localhost:8001"
    assert address.parse_url("http://[0:0::1]:8001/").host_port == "[::1]:8001"


def test_resolve_keeps_the_order_and_drops_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [_entry("1.1.1.1"), _entry("2606:4700::1111"), _entry("1.1.1.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: answer)
    assert [str(found) for found in address.resolve("a.example", 443, 1)] == ["1.1.1.1", "2606:4700::1111"]


@pytest.mark.parametrize("host", ["127.0.0.1", "2606:4700::1111"])
def test_an_address_is_its_own_answer(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: pytest.fail("nothing to look up"))
    assert [str(found) for found in address.resolve(host, 443, 1)] == [host]


def test_whatever_the_look_up_raises_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise RuntimeError("sockets are off")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(RuntimeError, match="sockets are off"):
        address.resolve("a.example", 443, 1)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The connections that would have been made. A name resolves to itself."""
    calls: list[str] = []
    monkeypatch.setattr(address, "connect", lambda found, *_: calls.append(str(found)))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_args, **_options: [_entry(host)])
    return calls


def send(url: str, *allowed: str) -> http.HttpAnswer:
    """``http.send`` with defaults."""
    return http.send("GET", url, headers={}, timeout_ms=2_000, max_bytes=1_000, allowed_hosts=frozenset(allowed))


@pytest.mark.parametrize("denied", DENIED.values(), ids=DENIED.keys())
def test_a_name_with_a_denied_address_is_blocked(
    opened: list[str], monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: [_entry(denied)])
    with pytest.raises(http.AddressBlocked) as blocked:
        send("https://a.example/", "a.example")
    assert (opened, blocked.value.sent) == ([], False)
    assert denied not in str(blocked.value)


@pytest.mark.parametrize("denied", [found for found in DENIED.values() if "%" not in found])
def test_a_denied_address_in_the_url_is_blocked_though_allowed(opened: list[str], denied: str) -> None:
    host = address.canonical_host(denied)
    with pytest.raises(http.AddressBlocked):
        send(f"http://[{host}]/" if ":" in host else f"http://{host}/", host)
    assert opened == []


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS.keys())
def test_a_url_that_can_be_misread_opens_nothing(opened: list[str], url: str) -> None:
    with pytest.raises(http.UrlInvalid) as refused:
        send(url, "example.com", "good.example", "evil.example", "c.example", "127.0.0.1")
    assert (opened, refused.value.sent) == ([], False)


def test_what_is_sent_of_a_path_is_what_httpx_sends() -> None:
    chance = random.Random(5)
    pieces = [
        "/",
        "..",
        ".",
        "a",
        "%2e",
        "%",
        "%zz",
        "?",
        "=",
        "&",
        '"',
        "<",
        ">",
        "`",
        "{",
        "}",
        "|",
        "^",
        "[",
        "~",
        ";",
    ]
    for _ in range(3000):
        path = "/" + "".join(chance.choices(pieces, weights=[9, 5, 4, *[1] * (len(pieces) - 3)], k=chance.randrange(9)))
        if not path.endswith("?"):
            sent = httpx.URL(scheme="https", host="a.example", port=443, raw_path=path.encode()).raw_path
            assert address.request_target(path) == sent.decode(), path
