"""T10: no callback connects to a forbidden address, however it is spelled, resolved or redirected to."""

import socket
from ipaddress import ip_address, ip_network

import pytest

from shared.errors import ForbiddenAddress, UpstreamError
from shared.http import AddressGuard, HttpEdge, Limits, Route, check_callback_url, is_forbidden, prepare
from shared.http.own import OwnServices, own_services
from tests.integration.test_http_edge import OK, Peer, answering, once

METADATA = "169.254.169.254"
#: Whatever a name server may say; each is told for every name that is no address by itself.
BAD_ANSWERS = ("127.0.0.1", METADATA, "10.1.2.3", "::1", "::ffff:127.0.0.1", "fd00:ec2::254", "64:ff9b::7f00:1")

HOSTS = [
    # Loopback in every form that the C library takes.
    "127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "0x7f.1", "0x7f.0.0.1", "0X7F000001", "0x7f000001",
    "0177.1", "0177.0.0.01", "017700000001", "2130706433", "0x7f.0377.65535", "0", "0.0.0.0", "00", "0x0",
    "localhost", "LOCALHOST", "localhost.", "localhost.localdomain", "sub.localhost", "127.0.0.1.", "127.0.0.1..",
    # Metadata services of the clouds.
    METADATA, "169.254.43518", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "0xa9.254.0251.254",
    "169.254.170.2", "169.254.42.42", "100.100.100.200", "192.0.0.192", "168.63.129.16",
    "metadata.google.internal", "metadata.google.internal.", "[fd00:ec2::254]", "[fd20:ce::254]",
    # Private, shared, reserved.
    "10.0.0.1", "10.1", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.257", "100.64.0.1", "198.18.0.1",
    "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "4294967295",
    # IPv6: loopback, any, mapped, compatible, translated, NAT64 and its local prefix, 6to4, Teredo, ISATAP, local.
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:169.254.169.254]",
    "[::127.0.0.1]", "[::a9fe:a9fe]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::127.0.0.1]", "[64:ff9b:1:ffff::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]", "[2001::ffff:5601:5601]", "[2606:4700::5efe:127.0.0.1]", "[2606:4700::200:5efe:10.0.0.1]",
    "[fe80::1]", "[fe80::5efe:10.0.0.1]", "[fe80::1%25eth0]", "[fec0::1]", "[fc00::1]", "[ff02::1]", "[2001:db8::1]",
    "[3fff::1]", "[100::1]", "[5f00::1]",
    # Digits and dots that are folded to ASCII, and names that become others.
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "127.0.0.\u0661", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "b\u00fccher.example",
    "xn--lclhost-5fb.example",
]  # fmt: skip
#: Whole URLs, where more than the host misleads.
URLS = [
    "https://good.example@127.0.0.1/", "https://good.example:443@127.0.0.1/", "https://127.0.0.1@good.example/",
    "https://good.example%40127.0.0.1/", "https://127.0.0.1#@good.example/", "https://127.0.0.1?@good.example/",
    "https://good.example\\@127.0.0.1/", "https://127.0.0.1\\.good.example/", "https://good.example/\\..\\",
    "https://127.0.0.1:443/", "https://127.0.0.1:22/", "https://good.example:22/", "https://good.example:5432/",
    "https://good.example:0/", "https://good.example:65536/", "https://good.example:-443/",
    "http://good.example/", "http://127.0.0.1/", "//127.0.0.1/", "https:127.0.0.1/", "https:///127.0.0.1/",
    "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1:6379/_FLUSHALL", "dict://127.0.0.1:11211/stat",
    "https://%31%32%37.0.0.1/", "https://127%2e0%2e0%2e1/", "https://loc%61lhost/", "https://good.example%00.127.0.0.1/",
    "https://good.example/\r\nHost: 127.0.0.1", "https://good.example\r\n.127.0.0.1/",
    "https://good.example/%0d%0aX: y",
    "https://127.0.0.1\t/", " https://127.0.0.1/", "https://[::1/", "https://[127.0.0.1]/", "https://[v1.x]/",
    "https://" + "a." * 126 + "example/", "https://good.example/" + "a" * 3000, "https://" + "a" * 300 + ".example/",
]  # fmt: skip
#: What a name server decides about; the C library knows all others by itself.
NAMES = [f"https://{host}/hook" for host in HOSTS if host[0].isalpha()]
ALL = [*(f"https://{host}/hook" for host in HOSTS), *URLS]


def test_there_are_enough_of_them():
    assert len(set(ALL)) == len(ALL) >= 80


class Wire:
    """What the machine was asked to connect to. Nothing leaves it but for loopback addresses that a test opens."""

    def __init__(self, monkeypatch):
        self.dialled = []
        self.open = set()
        connect = socket.socket.connect

        def recorded(sock, address):
            self.dialled.append(address[:2])
            if address[:2] in self.open:
                return connect(sock, address)
            raise ConnectionRefusedError

        monkeypatch.setattr(socket.socket, "connect", recorded)
        monkeypatch.setattr(socket.socket, "connect_ex", recorded)

    def forbidden(self):
        return [
            address for address in self.dialled if is_forbidden(ip_address(address[0])) and address not in self.open
        ]


@pytest.fixture
def wire(monkeypatch):
    return Wire(monkeypatch)


def hostile(answers):
    """A name server that gives *answers* for every name; addresses are read as the C library does, without it."""

    def getaddrinfo(host, port, **_):
        try:
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:
            return [
                (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
                for one in answers
            ]

    return getaddrinfo


def tried(edge, url):
    """The error of a callback there; None if it went out."""
    try:
        edge.send(prepare("POST", url), b'{"code": "4711"}', limits=Limits(connect_s=2, read_s=2, total_s=2))
    except (ValueError, UpstreamError) as error:
        return error
    return None


def test_no_url_reaches_a_forbidden_address_not_even_past_the_check_at_its_registration(wire):
    gone_out = []
    for answer in BAD_ANSWERS:
        edge = HttpEdge(Route(AddressGuard(), getaddrinfo=hostile([answer])))
        urls = ALL if answer == BAD_ANSWERS[0] else NAMES
        gone_out += [url for url in urls if tried(edge, url) is None]
        edge.close()

    # Whatever was not refused in time would stand here: nothing was connected to at all, so no byte left.
    assert (gone_out, wire.dialled) == ([], [])


@pytest.mark.parametrize("url", ALL, ids=lambda url: ascii(url)[:60])
def test_what_is_a_literal_or_no_plain_url_is_refused_when_it_is_registered(url):
    names = ("localhost", "LOCALHOST", "sub.localhost", "metadata.google", "xn--")
    if url.removeprefix("https://").startswith(names) or url == "https://good.example/%0d%0aX: y":
        return  # a name may mean anything by the time of the callback: the connection decides
    with pytest.raises(ValueError, match="URL"):
        check_callback_url(url)


def test_a_name_that_turns_is_looked_at_each_time_and_connected_to_where_it_was_looked_at(wire):
    turns = [["1.1.1.1"], ["127.0.0.1"], ["8.8.8.8", METADATA], ["2606:4700::1111"], ["::1"]] * 4
    answers = iter(turns)
    edge = HttpEdge(Route(AddressGuard(), getaddrinfo=lambda host, port, **_: hostile(next(answers))(host, port)))

    errors = [tried(edge, "https://rebinding.example/") for _ in turns]

    assert [isinstance(error, ForbiddenAddress) for error in errors] == [False, True, True, False, True] * 4
    assert wire.dialled == [("1.1.1.1", 443), ("2606:4700::1111", 443)] * 4


def test_no_redirect_is_followed_wherever_it_leads(wire):
    edge = HttpEdge(Route(AddressGuard((ip_network("127.0.0.0/8"),))))
    peers = []
    for status in (300, 301, 302, 303, 305, 307, 308):
        for target in (f"http://{METADATA}/latest/", "http://127.0.0.1:1/", "//[::1]/", "file:///etc/passwd"):
            head = f"HTTP/1.1 {status} Go\r\nLocation: {target}\r\nRefresh: 0;url={target}\r\nContent-Length: 0\r\n"
            peers.append(Peer(once(f"{head}Connection: close\r\n\r\n".encode())))
            wire.open.add(("127.0.0.1", peers[-1].port))

            assert tried(edge, peers[-1].url()) is None

    assert [len(peer.requests) for peer in peers] == [1] * 28
    assert len(wire.dialled) == 28
    assert wire.forbidden() == []
    for peer in peers:
        peer.close()


def test_nothing_of_the_environment_changes_the_way(wire, monkeypatch, tmp_path):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://{METADATA}:3128")
        monkeypatch.setenv(name.upper(), f"http://{METADATA}:3128")
    (tmp_path / ".netrc").write_text(f"default login a password b\nmachine {METADATA} login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    peer = Peer(answering(OK))
    wire.open.add(("127.0.0.1", peer.port))
    edge = HttpEdge(Route(AddressGuard((ip_network("127.0.0.0/8"),))))

    assert tried(edge, peer.url()) is None
    refused = HttpEdge(Route(AddressGuard(), getaddrinfo=hostile(["1.1.1.1"])))
    assert tried(refused, "https://good.example/") is not None

    assert wire.dialled == [("127.0.0.1", peer.port), ("1.1.1.1", 443)]
    assert b"authorization" not in peer.requests[0].lower()
    peer.close()


OWN = (
    ("127.0.0.1", 0),  # 0: the port that a listener of ours has
    ("0.0.0.0", 0),
    ("::", 0),
    ("db.internal", 0),
)


@pytest.mark.parametrize("listener", OWN, ids=lambda one: one[0])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "[::ffff:127.0.0.1]", "ours.example"])
def test_a_service_of_ours_is_forbidden_inside_an_excepted_network_too(wire, listener, host):
    ours = Peer(answering(OK))
    wire.open.add(("127.0.0.1", ours.port))
    guard = AddressGuard((ip_network("127.0.0.0/8"),))
    own = OwnServices(((listener[0], ours.port),))
    edge = HttpEdge(Route(guard, own, getaddrinfo=hostile(["127.0.0.1"])))

    error = tried(edge, f"http://{host}:{ours.port}/v1/messages")

    assert isinstance(error, ForbiddenAddress)
    assert (ours.connections, wire.dialled) == (0, [])
    ours.close()


def test_a_receiver_beside_a_service_of_ours_is_reached(wire):
    receiver = Peer(answering(OK))
    wire.open.add(("127.0.0.1", receiver.port))
    own = OwnServices(
        (("127.0.0.1", receiver.port + 1), ("203.0.113.9", receiver.port), ("gone.internal", receiver.port))
    )
    edge = HttpEdge(Route(AddressGuard((ip_network("127.0.0.0/8"),)), own, getaddrinfo=nobody))

    assert tried(edge, receiver.url()) is None
    receiver.close()


def nobody(host, port, **_):
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


@pytest.mark.parametrize(
    ("urls", "listeners"),
    [
        ([None, None], []),
        (["postgresql://u:p@db.internal/x", "redis://:p@10.0.0.2:6380/0"], [("db.internal", 5432), ("10.0.0.2", 6380)]),
        (["postgresql://u@/x?host=%2Frun%2Fpg&port=1", "unix:///run/redis.sock"], []),
        (["postgresql://a:1,b,[::1]:2,[::2]/x"], [("a", 1), ("b", 5432), ("::1", 2), ("::2", 5432)]),
        (["postgresql+psycopg2://h/x", "rediss://h"], [("h", 5432), ("h", 6379)]),
        (["postgresql://[::1/x"], []),
    ],
)
def test_where_our_services_listen_is_read_from_their_urls(urls, listeners):
    assert own_services("127.0.0.1", 5678, *urls).listeners == (("127.0.0.1", 5678), *listeners)
