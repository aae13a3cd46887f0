"""Where a callback may go: the rules for its URL, and for the addresses its host resolves to."""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from shared.errors import ForbiddenAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL: Final = 2048  # characters
_HTTPS_PORT: Final = 443
_URL_CHARACTERS: Final = re.compile(r"[!-\[\]-~]+")  # visible ASCII but the backslash, which parsers disagree on
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*"
    r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
)

# The special-purpose registries of RFC 6890 and its successors. ``is_global`` is not enough: Pythons that
# we support let multicast, 192.88.99.0/24, and NAT64 and 6to4 forms of private addresses pass.
FORBIDDEN_V4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the host agent of a cloud, reachable from inside its machines only
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6: Final = ipaddress.IPv6Network("2000::/3")  # all that is not in here is forbidden
FORBIDDEN_V6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: Of an interface's half: what ISATAP puts before an IPv4 address (RFC 5214 6.1), whatever the prefix.
_ISATAP: Final = (0x00005EFE, 0x02005EFE)


def effective(address: Address) -> Address:
    """The IPv4 address that an IPv4-mapped or NAT64 IPv6 address stands for; any other address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_forbidden(address: Address) -> bool:
    """Whether *address* is anything but a public unicast address of the Internet."""
    address = effective(address)
    if isinstance(address, ipaddress.IPv4Address):
        return any(address in network for network in FORBIDDEN_V4)
    tunnelled = _isatap(address)
    if tunnelled is not None and is_forbidden(tunnelled):
        return True
    return address not in _GLOBAL_V6 or any(address in network for network in FORBIDDEN_V6)


def _isatap(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 host that a router of ISATAP would send to."""
    half = int(address) & 0xFFFFFFFFFFFFFFFF
    return ipaddress.IPv4Address(half & 0xFFFFFFFF) if half >> 32 in _ISATAP else None


@dataclass(frozen=True, slots=True)
class AddressGuard:
    """
    What a callback may connect to; asked for every new connection, after the one name look-up it will use.

    ``allowed_networks`` are the operator's exceptions; http and other ports are for hosts inside them only.
    """

    allowed_networks: tuple[Network, ...] = ()

    def allows(self, address: Address) -> bool:
        """Whether the operator made an exception for *address*."""
        address = effective(address)
        return any(address in network for network in self.allowed_networks)

    def check(self, scheme: str, port: int, addresses: Iterable[Address]) -> None:
        """Raise ForbiddenAddress if any of a host's *addresses* is off limits; one bad answer is enough."""
        outside = [address for address in addresses if not self.allows(address)]
        if any(is_forbidden(address) for address in outside):
            raise ForbiddenAddress("address_forbidden")
        if outside and scheme != "https":
            raise ForbiddenAddress("https_required")
        if outside and port != _HTTPS_PORT:
            raise ForbiddenAddress("port_forbidden")


def check_callback_url(url: str, allowed_networks: tuple[Network, ...] = ()) -> None:
    """
    Check a callback URL as far as its text allows; a host name's addresses are checked at each connection.

    Raises:
        ValueError: In words for the provider, naming the problem.
    """
    if len(url) > MAX_URL:
        raise ValueError(f"the URL is longer than {MAX_URL} characters")
    if not _URL_CHARACTERS.fullmatch(url):
        raise ValueError("the URL may hold visible ASCII characters only, and no backslash")
    if "#" in url:
        raise ValueError("the URL must not have a fragment")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("the URL's host or port is malformed") from None
    if parts.scheme not in ("https", "http"):
        raise ValueError("the URL must begin with https://")
    if "@" in parts.netloc:
        raise ValueError("the URL must not hold a user name or password")
    _check_host(parts, port, AddressGuard(allowed_networks))


def _check_host(parts: SplitResult, port: int | None, guard: AddressGuard) -> None:
    host = parts.hostname or ""
    is_plain = parts.scheme == "https" and port in (None, _HTTPS_PORT)
    address = _literal(host, is_bracketed="[" in parts.netloc)
    if address is None:
        if not _NAME.fullmatch(host.removesuffix(".")):
            raise ValueError("the URL's host is neither a host name nor an IP address in its usual form")
        is_excepted = bool(guard.allowed_networks)
    else:
        is_excepted = guard.allows(address)
        if is_forbidden(address) and not is_excepted:
            raise ValueError("the URL's address is not a public one")
    if not is_plain and not is_excepted:
        raise ValueError("the URL must use https:// and port 443")


def _literal(host: str, *, is_bracketed: bool) -> Address | None:
    try:
        return ipaddress.IPv6Address(host) if is_bracketed else ipaddress.IPv4Address(host)
    except ValueError:
        if is_bracketed:
            raise ValueError("the URL's IPv6 address is malformed") from None
        return None
