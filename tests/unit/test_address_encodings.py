"""However an address is written, the guard says of it what it says of the plain one."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.http.addresses import FORBIDDEN_V4, AddressGuard, is_forbidden

EXCEPTED = AddressGuard((ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8")))


def near(network):
    """Addresses in it, and the neighbours of its ends."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return st.integers(max(0, first - 1), min(2**32 - 1, last + 1))


#: By chance few addresses would be forbidden ones, and none at an edge.
PLAIN = st.one_of(st.integers(0, 2**32 - 1), st.sampled_from(FORBIDDEN_V4).flatmap(near)).map(IPv4Address)
PREFIXES = st.integers(0x2000 << 48, (0x4000 << 48) - 1)


def spellings(address):
    """Texts that the C library takes for *address*: dotted, hexadecimal, octal, in one, two and three parts."""
    value = int(address)
    a, b, c, d = address.packed
    yield from (str(address), str(value), hex(value), f"0{value:o}", f"{a}.{value & 0xFFFFFF}", f"{a}.{b}.{c << 8 | d}")
    yield from (f"0x{a:x}.0x{b:X}.0{c:o}.{d}", f"0{a:o}.0x{value & 0xFFFFFF:x}", f"0x{a:x}.{b}.0{c << 8 | d:o}")


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(PLAIN)
def test_every_spelling_is_judged_by_where_it_leads(address):
    for text in spellings(address):
        found = IPv4Address(socket.inet_aton(text))  # what getaddrinfo asks first
        assert found == address
        assert is_forbidden(found) == is_forbidden(address)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(PLAIN, PREFIXES, st.sampled_from((0x00005EFE, 0x02005EFE)))
def test_inside_ipv6_an_address_is_judged_as_outside_or_more_severely(address, prefix, isatap):
    value = int(address)
    same = [IPv6Address(0xFFFF << 32 | value), IPv6Address((0x64FF9B << 96) | value)]
    tunnels = [
        IPv6Address(value),  # IPv4-compatible
        IPv6Address(0xFFFF << 48 | value),  # translated
        IPv6Address((0x0064FF9B0001 << 80) | value),  # NAT64's local prefix
        IPv6Address(0x2002 << 112 | value << 80),  # 6to4
        IPv6Address(0x20010000 << 96 | value << 64),  # Teredo: its server
        IPv6Address(0x20010000 << 96 | value ^ 0xFFFFFFFF),  # Teredo: its client
        IPv6Address(prefix << 64 | isatap << 32 | value),
    ]

    assert [is_forbidden(one) for one in same] == [is_forbidden(address)] * 2
    assert [EXCEPTED.allows(one) for one in same] == [EXCEPTED.allows(address)] * 2
    assert all(is_forbidden(one) for one in tunnels[:-1])
    assert is_forbidden(tunnels[-1]) or not is_forbidden(address)
