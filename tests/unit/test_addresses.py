"""No callback reaches anything but a public address, unless the operator excepted its network."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest

from shared.errors import ForbiddenAddress
from shared.http import addresses
from shared.http.addresses import AddressGuard, check_callback_url

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize("network", addresses.FORBIDDEN_V4, ids=str)
def test_a_special_ipv4_network_is_forbidden_from_end_to_end(network):
    assert addresses.is_forbidden(network.network_address)
    assert addresses.is_forbidden(network.broadcast_address)


@pytest.mark.parametrize("network", addresses.FORBIDDEN_V6, ids=str)
def test_a_special_ipv6_network_is_forbidden_from_end_to_end(network):
    assert addresses.is_forbidden(network.network_address)
    assert addresses.is_forbidden(network.broadcast_address)


@pytest.mark.parametrize("network", addresses.FORBIDDEN_V4, ids=str)
def test_a_special_ipv4_network_is_forbidden_inside_ipv6_too(network):
    inner = int(network.network_address)

    assert addresses.is_forbidden(IPv6Address(int(IPv6Address("::ffff:0:0")) + inner))
    assert addresses.is_forbidden(IPv6Address(int(IPv6Address("64:ff9b::")) + inner))


@pytest.mark.parametrize(
    "address",
    [
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b:1::808:808",
        "64:ff9b::a9fe:a9fe",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:a9fe:a9fe::",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_an_address_that_is_not_public_unicast_is_forbidden(address):
    assert addresses.is_forbidden(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ],
)
def test_a_public_address_is_not_forbidden(address):
    assert not addresses.is_forbidden(ip_address(address))


def test_one_forbidden_address_among_public_ones_spoils_the_host():
    with pytest.raises(ForbiddenAddress, match="address_forbidden"):
        AddressGuard().check("https", 443, [IPv4Address("1.1.1.1"), IPv4Address("10.0.0.1")])


def test_a_public_host_passes_over_https_on_443():
    AddressGuard().check("https", 443, [IPv4Address("1.1.1.1"), IPv6Address("2606:4700::1111")])


@pytest.mark.parametrize(
    ("scheme", "port", "reason"), [("http", 80, "https_required"), ("https", 8443, "port_forbidden")]
)
def test_a_public_host_passes_no_other_way(scheme, port, reason):
    with pytest.raises(ForbiddenAddress, match=reason):
        AddressGuard().check(scheme, port, [IPv4Address("1.1.1.1")])


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_an_excepted_network_opens_http_and_any_port(address):
    AddressGuard(LOOPBACK).check("http", 9000, [ip_address(address)])


def test_http_needs_every_address_to_be_excepted():
    with pytest.raises(ForbiddenAddress, match="https_required"):
        AddressGuard(LOOPBACK).check("http", 443, [IPv4Address("127.0.0.1"), IPv4Address("1.1.1.1")])


def test_an_exception_opens_nothing_else():
    with pytest.raises(ForbiddenAddress, match="address_forbidden"):
        AddressGuard(LOOPBACK).check("http", 80, [IPv4Address("10.0.0.1")])


@pytest.mark.parametrize(
    "url",
    [
        "https://otp.bank.example/hooks/voice?x=1",
        "https://otp.bank.example:443/",
        "https://otp.bank.example.",
        "https://OTP.Bank.Example/",
        "https://xn--bcher-kva.example/a",
        "https://a_b.example.com/",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/",
        "https://localhost/",
        "https://" + "a" * 63 + ".example/",
    ],
)
def test_an_ordinary_https_url_is_accepted(url):
    check_callback_url(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "visible ASCII"),
        ("otp.bank.example", "https://"),
        ("//otp.bank.example", "https://"),
        ("ftp://otp.bank.example/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("javascript:alert(1)", "https://"),
        ("http://otp.bank.example/", "https:// and port 443"),
        ("https://otp.bank.example:8443/", "https:// and port 443"),
        ("https://otp.bank.example:80/", "https:// and port 443"),
        ("https://otp.bank.example:99999/", "malformed"),
        ("https://otp.bank.example:x/", "malformed"),
        ("https://user@otp.bank.example/", "user name"),
        ("https://user:pass@otp.bank.example/", "user name"),
        ("https://@otp.bank.example/", "user name"),
        ("https://otp.bank.example/#top", "fragment"),
        ("https://otp.bank.example/#", "fragment"),
        ("https://otp.bank.example/" + "a" * 2048, "longer"),
        ("https://otp.bank.example/a b", "visible ASCII"),
        ("https://otp.bank.example\\@10.0.0.1/", "backslash"),
        ("https://otp.bank.example/\r\nHost: x", "visible ASCII"),
        ("https://otp.bank.example/\0", "visible ASCII"),
        ("https://bücher.example/", "visible ASCII"),
        ("https://①②⑦.⓪.⓪.①/", "visible ASCII"),
        ("https:///path", "host"),
        ("https://:443/", "host"),
        ("https://-a.example/", "host"),
        ("https://a..example/", "host"),
        ("https://" + "a" * 64 + ".example/", "host"),
        ("https://%31%32%37.0.0.1/", "host"),
        ("https://127.1/", "host"),
        ("https://0x7f.1/", "host"),
        ("https://0x7f000001/", "host"),
        ("https://2130706433/", "host"),
        ("https://017700000001/", "host"),
        ("https://0177.0.0.1/", "host"),
        ("https://1.1.1.1./", "host"),
        ("https://127.0.0.1/", "not a public one"),
        ("https://169.254.169.254/latest/meta-data", "not a public one"),
        ("https://[::1]/", "not a public one"),
        ("https://[::ffff:127.0.0.1]/", "not a public one"),
        ("https://[64:ff9b::a9fe:a9fe]/", "not a public one"),
        ("https://[2002:a9fe:a9fe::]/", "not a public one"),
        ("https://[fe80::1%25eth0]/", "not a public one"),
        ("https://[::1/", "malformed"),
        ("https://[v1.x]/", "malformed"),
        ("https://[127.0.0.1]/", "malformed"),
    ],
)
def test_a_url_that_could_lead_astray_is_refused_naming_the_problem(url, problem):
    with pytest.raises(ValueError, match=problem):
        check_callback_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/hook",
        "http://localhost:9000/hook",
        "https://127.0.0.1:8443/",
        "https://otp.bank.example/",
    ],
)
def test_an_excepted_network_accepts_plain_urls_of_its_hosts(url):
    check_callback_url(url, LOOPBACK)


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "https://1.1.1.1:8443/", "http://10.0.0.1/"])
def test_an_excepted_network_accepts_no_plain_url_of_another_address(url):
    with pytest.raises(ValueError, match="URL"):
        check_callback_url(url, LOOPBACK)
