"""Where a tenant's URL leads: one strict parser, one look-up, one verdict on addresses.

A tool's endpoint is written by a tenant, so it is taken for an attack (server-side request forgery, OWASP
API7:2023). Nothing here needs httpx, so domain code may ask the same questions when a tool is saved:

* ``parse_url``: what exactly does this URL name? Stricter than RFC 3986: whatever two parsers might read
  differently (userinfo, backslashes, blanks, ``0x7f.1``) is refused, so no later one can disagree with us.
* ``resolve``: which addresses stand behind the name? With a time limit, which libc does not offer.
* ``is_public``: may a packet of ours go there? Asked of the resolved address; a name proves nothing.
* ``connect``: to that very address, so that nothing is resolved a second time.

Facts: the IANA special-purpose registries (iana.org/assignments/iana-ipv4-special-registry and -ipv6-), RFC
6890, and Smokescreen's classes of embedded IPv4 (github.com/stripe/smokescreen). ``ipaddress`` alone does not
do: in Python 3.11.7 ``is_global`` is True for ``64:ff9b::a9fe:a9fe`` and ``2002:a9fe:a9fe::1`` (both carry
169.254.169.254), for multicast, and for blocks that IANA reserved later.
"""

import queue
import re
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import quote, urlencode

URL_MAX_CHARS = 8_192  # what common servers accept as a request line

# Denied IPv4, from the IANA registry unless said otherwise.
_DENIED_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # "this network"; Linux connects 0.0.0.0 to itself
        "10.0.0.0/8",  # RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT; 100.100.100.200 is Alibaba's metadata
        "127.0.0.0/8",  # loopback: the Lambda Runtime API listens on 127.0.0.1:9001
        "168.63.129.16/32",  # Azure's host agent: a public number that is answered by the hypervisor
        "169.254.0.0/16",  # link-local: EC2's metadata (.169.254), DNS and clock, ECS's credentials (.170.2)
        "172.16.0.0/12",  # RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments; 192.0.0.192 is Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays (deprecated)
        "192.168.0.0/16",  # RFC 1918
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)

# All public IPv6 lives in 2000::/3. Outside it are loopback, ULA, link-local, site-local, multicast, the
# discard and dummy prefixes, SRv6 (5f00::/16) and, with an IPv4 address inside, ::a.b.c.d, ::ffff:a.b.c.d and
# NAT64's 64:ff9b::/96 and 64:ff9b:1::/48. Those are refused whole, not unwrapped: a webhook with a public
# IPv4 address publishes an A record, so a wrapped one only ever helps an attacker.
_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # IETF protocol assignments: Teredo (IPv4 inside), ORCHID, benchmarking
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 (IPv4 inside)
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # 6bone, given back
        "3fff::/20",  # documentation (RFC 9637)
    )
)

# What an operator's own network looks like. Metadata services are not in it: no setting opens them.
_PRIVATE_V4 = tuple(map(IPv4Network, ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_PRIVATE_V6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))
# ULA, too: EC2's metadata (::254), DNS (::253), clock (::123) and ECS (::23); then Google's metadata.
_METADATA_V6 = tuple(map(IPv6Network, ("fd00:ec2::/32", "fd20:ce::254/128")))

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[[^\[\]/?#@]*\]|[^\[\]:/?#@]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.IGNORECASE | re.ASCII,  # without ASCII, "s" also matches the long s of "http\u017f"
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # "_" is not in RFC 952, but DNS and compose files use it
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))
_PATH_SAFE = _ASCII.translate(dict.fromkeys(b'"#<>?`{}'))
_QUERY_SAFE = _ASCII.translate(dict.fromkeys(b'"#<>'))
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names, in one canonical spelling.

    Attributes:
        scheme: ``http`` or ``https``.
        host: ``canonical_host`` of the URL's host; an IPv6 address stands without brackets.
        port: 80, 443 or 1024 to 65535.
        path: path and query, in ASCII; starts with ``/``.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_port(self) -> str:
        """``host:port``, an IPv6 address in brackets: how the operator's ``private_hosts`` are written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_url(url: str, params: Sequence[tuple[str, str]] = ()) -> Target:
    """Read an absolute http(s) URL, or refuse it.

    The fragment is dropped: it is never sent. ``params`` are appended to the query, whose own spelling stays:
    a signed webhook URL breaks when it is re-encoded.

    Args:
        url: the URL, at most ``URL_MAX_CHARS`` characters.
        params: further query parameters, not yet encoded.

    Raises:
        ValueError: the URL is not one that we call. The message repeats nothing of it: it may hold a secret.
    """
    # isprintable() is False for controls, line ends, every blank but " ", surrogates, invisible characters.
    if len(url) > URL_MAX_CHARS or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("the URL is too long, or holds a blank, a control character or a backslash")
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("the URL must be http(s)://host[:port][/path][?query], without user or password")
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[scheme]
    # Below 1024 live SMTP, SSH, FTP, LDAP and SMB, which may act on a line of an HTTP request, not webhooks.
    # From 1024 on all are open: public services choose freely, and a private Redis is out of reach anyhow.
    if port not in (80, 443) and not 1024 <= port <= 65535:
        raise ValueError("the URL's port must be 80, 443 or 1024 to 65535")
    query = "&".join(part for part in (match["query"], urlencode(params, quote_via=quote)) if part)
    path = quote((match["path"] or "/") + (f"?{query}" if query else ""), safe=_ASCII)
    if len(path) > URL_MAX_CHARS:
        raise ValueError("the URL is too long with its parameters")
    return Target(scheme, canonical_host(match["host"]), port, path)


def request_target(path: str) -> str:
    """The path and query of a target as they are sent: without ``.`` and ``..``, and with what no URL holds encoded."""
    whole, mark, query = path.partition("?")
    kept: list[str] = []
    for part in whole.split("/"):
        if part == ".." and len(kept) > 1:
            kept.pop()
        elif part not in {".", ".."}:
            kept.append(part)
    return quote("/".join(kept) or "/", safe=_PATH_SAFE) + mark + quote(query, safe=_QUERY_SAFE)


def canonical_host(host: str) -> str:
    """The one spelling of a host, for comparing: lower-case, IDNA, without trailing dot and brackets.

    Args:
        host: a name, an IPv4 address, or an IPv6 address with or without brackets.

    Raises:
        ValueError: not a host: bad characters, a zone id, or a number that is no plain dotted quad, such as
            ``127.1``, ``0x7f.1``, ``0177.0.0.1`` and ``2130706433``: libc takes them for 127.0.0.1.
    """
    if ":" in host:
        return _canonical_ipv6(host)
    if not host.isascii() or "xn--" in host.lower():  # httpx decodes the latter, and trips over a broken one
        host = _idna(host)
    name = host.lower().removesuffix(".")
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("the host is not a valid name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise ValueError("the host is a number, but not an IPv4 address") from None
    return name


def _canonical_ipv6(host: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        if "%" not in bare:  # a zone id names an interface of *this* machine
            return str(IPv6Address(bare))
    except ValueError:
        pass
    raise ValueError("the host is not an IPv6 address")


def _idna(host: str) -> str:
    import idna  # here, because its tables cost milliseconds and nearly every host is ASCII

    try:
        # Strict IDNA 2008. Ideographic dots become ".", and so the result is judged like any other name.
        return idna.encode(host.lower()).decode("ascii")
    except idna.IDNAError:
        raise ValueError("the host is not a valid international name") from None


def resolve(host: str, port: int, timeout: float) -> list[IPv4Address | IPv6Address]:
    """Every address of ``host``, in libc's order of preference.

    getaddrinfo takes no time limit, so it runs in a thread that is left behind when the time is up; libc ends
    it soon after (resolv.conf: 5 s and 2 tries per server, unless set).

    Args:
        host: a canonical host; an address is its own answer.
        port: only handed through.
        timeout: seconds.

    Raises:
        TimeoutError: no answer in time.
        OSError: the name does not exist, or no name server answers.
    """
    with suppress(ValueError):
        return [ip_address(host)]
    outcome: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            outcome.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - a thread has no caller: the waiting one must hear of it
            outcome.put(error)

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        found = outcome.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError("the name server did not answer in time") from None
    if isinstance(found, Exception):
        raise found
    return list(dict.fromkeys(ip_address(entry[4][0]) for entry in found))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet, and to nothing special in it.

    An IPv6 address with an IPv4 one inside (mapped, NAT64, 6to4, Teredo) is not public, whatever it carries.

    Args:
        address: a resolved address. One with a zone id is never public.
    """
    if isinstance(address, IPv4Address):
        denied = any(address in block for block in _DENIED_V4)
    else:
        denied = (
            address.scope_id is not None
            or address not in _GLOBAL_UNICAST_V6
            or any(address in block for block in _DENIED_V6)
        )
    # A newer Python knows newer registry entries: what it calls special is special too.
    return not denied and address.is_global


def is_operator_network(address: IPv4Address | IPv6Address) -> bool:
    """Whether ``private_hosts`` may open this address: loopback, RFC 1918 or ULA, but never metadata."""
    if isinstance(address, IPv4Address):
        return any(address in block for block in _PRIVATE_V4)
    if address.scope_id is not None or any(address in block for block in _METADATA_V6):
        return False
    return any(address in block for block in _PRIVATE_V6)


def connect(found: IPv4Address | IPv6Address, port: int, timeout: float) -> socket.socket:
    """Open a TCP connection to an address that was checked.

    Args:
        found: where to. No name: what was checked is what is called.
        port: where to.
        timeout: seconds.

    Raises:
        OSError: nobody answers there, or not in time.
    """
    opened = socket.socket(socket.AF_INET if found.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout)
        opened.connect((str(found), port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        opened.close()
        raise
    return opened
