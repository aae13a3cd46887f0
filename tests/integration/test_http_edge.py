"""The outgoing edge against peers that misbehave: it says what was sent, and it is never held."""

import contextlib
import datetime as dt
import gzip
import ipaddress
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import ForbiddenAddress, NoReply, NotSent
from shared.http import AddressGuard, HttpEdge, Limits, Route, prepare

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
PATIENT = Limits(connect_s=3, read_s=3, total_s=3)
QUICK = Limits(connect_s=0.25, read_s=0.25, total_s=0.25)  # for what ends by time only
BRIEF = Limits(connect_s=0.45, read_s=0.45, total_s=0.45)  # the same, where the peer must first have its say

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

Script = Callable[[socket.socket, "Peer"], None]


class Peer:
    """A server on loopback whose every connection runs a script; it counts what it was asked."""

    def __init__(self, script: Script, family: socket.AddressFamily = socket.AF_INET) -> None:
        self.script = script
        self.connections = 0
        self.requests: list[bytes] = []
        self.closing = threading.Event()
        self.sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("::1" if family is socket.AF_INET6 else "127.0.0.1", 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._start(self._accept)

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/hook"

    def read_request(self, connection: socket.socket) -> bool:
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65536)
            if not chunk:
                return False
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields.get(b"content-length", b"0")):
            body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self.sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.sockets.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            self.script(connection, self)


def answering(*answers: bytes) -> Script:
    """Each request gets the next answer, the last one for ever."""

    def script(connection: socket.socket, peer: Peer) -> None:
        while peer.read_request(connection):
            connection.sendall(answers[min(len(peer.requests), len(answers)) - 1])

    return script


def once(answer: bytes) -> Script:
    """One request, one answer, closed."""

    def script(connection: socket.socket, peer: Peer) -> None:
        peer.read_request(connection)
        connection.sendall(answer)

    return script


def resetting(answer: bytes) -> Script:
    def script(connection: socket.socket, peer: Peer) -> None:
        peer.read_request(connection)
        connection.sendall(answer)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return script


def dripping(start: bytes, drop: bytes) -> Script:
    def script(connection: socket.socket, peer: Peer) -> None:
        peer.read_request(connection)
        connection.sendall(start)
        while not peer.closing.wait(0.02):
            connection.sendall(drop)

    return script


def silent(connection: socket.socket, peer: Peer) -> None:
    peer.read_request(connection)
    peer.closing.wait(5)


def mute(_: socket.socket, peer: Peer) -> None:
    peer.closing.wait(5)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def start(script: Script, **options: socket.AddressFamily) -> Peer:
        peers.append(Peer(script, **options))
        return peers[-1]

    yield start
    for each in peers:
        each.close()


@pytest.fixture(scope="module")
def edge() -> Iterator[HttpEdge]:
    edge = HttpEdge()
    yield edge
    edge.close()


@pytest.fixture
def make_edge() -> Iterator[Callable[..., HttpEdge]]:
    edges: list[HttpEdge] = []

    def make(*, ca_file: str | None = None, **route: object) -> HttpEdge:
        edges.append(HttpEdge(Route(**route), ca_file=ca_file))
        return edges[-1]

    yield make
    for each in edges:
        each.close()


def resolving(*answers: list[tuple[str, int]]) -> Callable[..., list[tuple[object, ...]]]:
    """A resolver that gives these socket addresses, one list per look-up, the last one for ever."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        found = left.pop(0) if len(left) > 1 else left[0]
        getaddrinfo.calls.append(host)
        return [
            (socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, at or port))
            for ip, at in found
        ]

    getaddrinfo.calls = []
    return getaddrinfo


def post(edge: HttpEdge, url: str, body: bytes = b'{"a": 1}', limits: Limits = PATIENT):
    return edge.send(prepare("POST", url, {"Content-Type": "application/json"}), body, limits=limits)


@pytest.fixture
def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def full_port() -> Iterator[int]:
    """A port whose accept queue is full: a connection to it neither succeeds nor fails."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        while True:
            client = socket.socket()
            client.settimeout(0)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
            if not select.select([], [client], [], 0.05)[1]:
                break
        yield listener.getsockname()[1]
        for client in waiting:
            client.close()


# --- An ordinary exchange ---


def test_a_request_and_its_answer_pass_unchanged(edge, peer):
    server = peer(answering(b"HTTP/1.1 422 Nope\r\nRetry-After: 3\r\nContent-Length: 5\r\n\r\nhello"))
    template = prepare("POST", server.url() + "?x=1", {"X-One": "1"})

    reply = edge.send(template, b"{}", headers={"webhook-id": "evt_1"}, limits=PATIENT)

    assert (reply.status, reply.body, reply.headers["retry-after"]) == (422, b"hello", "3")
    assert 0 < reply.elapsed_s < 3
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert {b"x-one: 1", b"webhook-id: evt_1", b"Content-Length: 2", b"accept-encoding: identity"} < set(
        head.split(b"\r\n")
    )
    assert body == b"{}"


def test_a_header_goes_out_once_however_it_is_spelled(edge, peer):
    server = peer(answering(OK))

    edge.send(prepare("POST", server.url(), {"User-Agent": "one"}), b"{}", headers={"USER-agent": "two"})

    head = server.requests[0].lower()
    assert head.count(b"user-agent:") == 1
    assert b"user-agent: two" in head


def test_a_get_has_no_body(edge, peer):
    server = peer(answering(OK))

    edge.send(prepare("GET", server.url()), limits=PATIENT)

    assert b"content-length" not in server.requests[0].lower()


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_requests_to_one_host_share_a_connection(edge, peer, answer):
    server = peer(answering(answer))

    for _ in range(3):
        post(edge, server.url())

    assert (server.connections, len(server.requests)) == (1, 3)


@pytest.mark.parametrize("before", [b"100 Continue", b"103 Early Hints\r\nLink: </x>"])
def test_what_comes_before_an_answer_is_not_the_answer(edge, peer, before):
    reply = post(edge, peer(answering(b"HTTP/1.1 " + before + b"\r\n\r\n" + OK)).url())

    assert (reply.status, reply.body) == (200, b"{}")


def test_an_answer_without_a_body_has_none_whatever_it_announces(edge, peer):
    reply = post(edge, peer(answering(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")).url())

    assert (reply.status, reply.body) == (204, b"")


def test_each_thread_has_its_own_connection(edge, peer):
    server = peer(answering(OK))
    thread = threading.Thread(target=post, args=(edge, server.url()))

    post(edge, server.url())
    thread.start()
    thread.join()

    assert server.connections == 2


def test_a_host_used_long_ago_gives_way_to_a_new_one(peer):
    edge = HttpEdge(hosts=1)
    first, second = peer(answering(OK)), peer(answering(OK))

    for server in (first, second, first):
        post(edge, server.url())

    edge.close()
    assert (first.connections, second.connections) == (2, 1)


def test_an_ipv6_literal_is_reached(edge, peer):
    server = peer(answering(OK), family=socket.AF_INET6)

    reply = post(edge, server.url(host="[::1]"))

    assert reply.status == 200
    assert f"Host: [::1]:{server.port}".encode() in server.requests[0]


def test_nothing_is_taken_from_the_environment(edge, peer, monkeypatch, tmp_path, refused_port):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{refused_port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{refused_port}")
    server = peer(answering(OK))

    post(edge, server.url())

    assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_not_sent_back(edge, peer):
    server = peer(answering(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"))

    post(edge, server.url())
    post(edge, server.url())

    assert b"cookie" not in server.requests[1].lower()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(edge, peer, status):
    target = peer(answering(OK))
    server = peer(answering(f"HTTP/1.1 {status} Go\r\nLocation: {target.url()}\r\nContent-Length: 0\r\n\r\n".encode()))

    reply = post(edge, server.url())

    assert reply.status == status
    assert (len(server.requests), target.connections) == (1, 0)


# --- Nothing left ---


def test_a_refused_connection_leaves_nothing_sent(edge, refused_port):
    with pytest.raises(NotSent, match="refused"):
        post(edge, f"http://127.0.0.1:{refused_port}/")


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), UnicodeError("label too long")])
def test_an_unknown_name_leaves_nothing_sent(make_edge, error):
    def getaddrinfo(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise error

    with pytest.raises(NotSent, match="name_not_resolved"):
        post(make_edge(getaddrinfo=getaddrinfo), "http://hooks.example/")


def test_a_name_server_that_says_nothing_holds_nobody(make_edge):
    end = threading.Event()
    edge = make_edge(getaddrinfo=lambda *_, **__: end.wait(5) and [])
    started_at = time.monotonic()

    with pytest.raises(NotSent, match="name_look_up_timeout"):
        post(edge, "http://hooks.example/", limits=QUICK)

    end.set()
    assert time.monotonic() - started_at < 0.55


def test_a_connection_that_does_not_come_about_leaves_nothing_sent(edge, full_port):
    started_at = time.monotonic()

    with pytest.raises(NotSent, match="connect_timeout"):
        post(edge, f"http://127.0.0.1:{full_port}/", limits=QUICK)

    assert time.monotonic() - started_at < 0.55


def test_an_address_that_swallows_connections_does_not_hide_the_next(make_edge, full_port, peer):
    server = peer(answering(OK))
    edge = make_edge(getaddrinfo=resolving([("127.0.0.1", full_port), ("127.0.0.1", server.port)]))

    assert post(edge, "http://hooks.example/", limits=Limits(connect_s=0.6)).status == 200


def test_a_peer_that_does_not_speak_tls_is_sent_nothing(edge, peer):
    def script(connection: socket.socket, _: Peer) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = peer(script)

    with pytest.raises(NotSent, match="tls_failed"):
        post(edge, server.url("https"))


def test_a_handshake_that_stalls_leaves_nothing_sent(edge, peer):
    server = peer(mute)
    started_at = time.monotonic()

    with pytest.raises(NotSent, match="timeout"):
        post(edge, server.url("https"), limits=QUICK)

    assert time.monotonic() - started_at < 0.55


def test_a_dripped_handshake_ends_at_the_deadline(edge, peer):
    def script(connection: socket.socket, peer: Peer) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # a handshake record of 16 KiB ...
        while not peer.closing.wait(0.02):
            connection.sendall(b"\0")  # ... byte by byte

    server = peer(script)
    started_at = time.monotonic()

    with pytest.raises(NotSent):
        post(edge, server.url("https"), limits=Limits(connect_s=0.25, read_s=5, total_s=5))

    assert time.monotonic() - started_at < 0.55


# --- It left, and no whole answer came ---

LOST_ANSWERS = {
    "closed": once(b""),
    "closed within the status line": once(b"HTTP/1."),
    "closed within the headers": once(b"HTTP/1.1 200 OK\r\nContent-"),
    "reset": resetting(b""),
    "reset within the headers": resetting(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "garbage": once(b"\x00\x01\x02 what?\r\n\r\n"),
    "TLS instead of HTTP": once(b"\x15\x03\x01\x00\x02\x02\x46"),
    "too many headers": once(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n"),
    "endless header line": once(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000),
    "giant headers": once(b"HTTP/1.1 200 OK\r\n" + (b"A: " + b"a" * 60_000 + b"\r\n") * 90 + b"\r\n"),
    "many interim answers": once(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000 + OK),
    "silence": silent,
    "dripped status line": dripping(b"", b"H"),
    "dripped headers": dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "endless 100 Continue": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 500),
}
CUT_ANSWERS = {
    "cut body": once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
    "cut chunk": once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}"),
    "bad chunk": once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nwhat\r\n{}"),
    "negative chunk": once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" + bytes(100_000)),
    "reset body": resetting(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"),
    "dripped body": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"a"),
    "dripped chunks": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "dripped body without length": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"a"),
}


@pytest.mark.parametrize("script", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
def test_a_lost_answer_means_it_may_have_happened_and_is_not_asked_again(edge, peer, script):
    server = peer(script)
    started_at = time.monotonic()

    with pytest.raises(NoReply) as caught:
        post(edge, server.url(), limits=BRIEF)

    assert time.monotonic() - started_at < 0.75
    assert (caught.value.status, len(server.requests), server.connections) == (None, 1, 1)


@pytest.mark.parametrize("script", CUT_ANSWERS.values(), ids=CUT_ANSWERS)
def test_a_cut_answer_tells_its_status_and_is_not_asked_again(edge, peer, script):
    server = peer(script)
    started_at = time.monotonic()

    with pytest.raises(NoReply) as caught:
        post(edge, server.url(), limits=BRIEF)

    assert time.monotonic() - started_at < 0.75
    assert (caught.value.status, len(server.requests), server.connections) == (200, 1, 1)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (once(b""), "closed"),
        (resetting(b""), "reset"),
        (once(b"what?\r\n\r\n"), "garbled"),
        (once(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"), "garbled"),
        (silent, "timeout"),
        (once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"), "cut_short"),
    ],
)
def test_a_lost_answer_has_a_reason(edge, peer, script, reason):
    server = peer(script)

    with pytest.raises(NoReply, match=f"^{reason}$"):
        post(edge, server.url(), limits=BRIEF)


def test_after_a_lost_answer_the_next_request_has_a_new_connection(edge, peer):
    server = peer(once(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"))
    with pytest.raises(NoReply):
        post(edge, server.url())

    server.script = answering(OK)
    reply = post(edge, server.url())

    assert (reply.status, server.connections) == (200, 2)


def test_an_error_carries_neither_url_nor_headers(edge, peer):
    server = peer(once(b""))
    template = prepare("POST", server.url() + "?token=hush", {"Authorization": "Bearer hush"})

    with pytest.raises(NoReply) as caught:
        edge.send(template, b"{}", limits=PATIENT)

    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert "hush" not in repr(caught.value) + repr(template)


# --- Bounded ---


@pytest.mark.parametrize("head", [b"Connection: close", b"Content-Length: 99999999"])
def test_an_endless_body_is_cut_and_its_connection_dropped(edge, peer, head):
    def script(connection: socket.socket, peer: Peer) -> None:
        peer.read_request(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n")
        while True:
            connection.sendall(b"a" * 65536)

    server = peer(script)

    first, second = post(edge, server.url()), post(edge, server.url())

    assert (first.status, len(first.body), len(second.body)) == (200, 16 * 1024, 16 * 1024)
    assert not first.is_whole
    assert server.connections == 2


def test_a_body_of_just_the_limit_keeps_its_connection(edge, peer):
    server = peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789"))
    limits = Limits(max_body=9)

    replies = [post(edge, server.url(), limits=limits) for _ in range(2)]

    assert [(reply.body, reply.is_whole) for reply in replies] == [(b"123456789", True)] * 2
    assert server.connections == 1


def test_a_gzip_bomb_stays_packed(edge, peer):
    bomb = gzip.compress(b"\0" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    server = peer(answering(head + bomb))

    reply = post(edge, server.url())

    assert reply.body == bomb


def test_a_peer_that_does_not_read_holds_nobody(edge, peer):
    server = peer(mute)
    started_at = time.monotonic()

    with pytest.raises(NoReply, match="timeout"):
        post(edge, server.url(), body=b"a" * 30_000_000, limits=BRIEF)

    assert time.monotonic() - started_at < 0.75


# --- Idle connections ---


def test_a_connection_the_peer_closed_while_idle_is_replaced_and_the_request_sent_once(edge, peer):
    closed = threading.Event()

    def script(connection: socket.socket, peer: Peer) -> None:
        peer.read_request(connection)
        connection.sendall(OK)
        connection.shutdown(socket.SHUT_RDWR)
        closed.set()

    server = peer(script)
    post(edge, server.url())
    closed.wait(1)

    reply = post(edge, server.url())

    assert (reply.status, server.connections, len(server.requests)) == (200, 2, 2)


def test_a_connection_that_idled_too_long_is_replaced_before_use(make_edge, peer):
    server = peer(answering(OK))
    edge = make_edge(max_idle_s=0.0)

    replies = [post(edge, server.url()) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert server.connections == 2


# --- TLS ---


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> tuple[str, ssl.SSLContext]:
    """A certificate for hooks.example only: the file that vouches for it, and the server's context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return str(folder / "ca.pem"), context


def over_tls(context: ssl.SSLContext, script: Script) -> Script:
    def wrapped(connection: socket.socket, peer: Peer) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            peer.sockets.append(secure)
            script(secure, peer)

    return wrapped


def test_the_checked_address_is_dialed_while_name_and_certificate_stay_those_of_the_host(make_edge, peer, tls):
    ca_file, context = tls
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    server = peer(over_tls(context, answering(OK)))
    getaddrinfo = resolving([("127.0.0.1", 0)])
    edge = make_edge(ca_file=ca_file, guard=AddressGuard(LOOPBACK), getaddrinfo=getaddrinfo)

    replies = [post(edge, server.url("https", "hooks.example")) for _ in range(2)]

    assert [reply.status for reply in replies] == [200, 200]
    assert (server.connections, names, getaddrinfo.calls) == (1, ["hooks.example"], ["hooks.example"])
    assert f"Host: hooks.example:{server.port}".encode() in server.requests[0]


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_host_is_sent_nothing(make_edge, peer, tls, host):
    ca_file, context = tls
    server = peer(over_tls(context, answering(OK)))
    edge = make_edge(ca_file=ca_file, getaddrinfo=resolving([("127.0.0.1", 0)]))

    with pytest.raises(NotSent, match="tls_failed"):
        post(edge, server.url("https", host))

    assert server.requests == []


def test_a_certificate_nobody_vouches_for_is_sent_nothing(make_edge, peer, tls):
    server = peer(over_tls(tls[1], answering(OK)))
    edge = make_edge(getaddrinfo=resolving([("127.0.0.1", 0)]))

    with pytest.raises(NotSent, match="tls_failed"):
        post(edge, server.url("https", "hooks.example"))

    assert server.requests == []


@pytest.mark.parametrize(
    "script",
    [
        silent,
        dripping(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b"a"),
    ],
    ids=["silent", "headers", "body"],
)
def test_the_deadline_holds_over_tls(make_edge, peer, tls, script):
    ca_file, context = tls
    server = peer(over_tls(context, script))
    edge = make_edge(ca_file=ca_file, getaddrinfo=resolving([("127.0.0.1", 0)]))
    started_at = time.monotonic()

    with pytest.raises(NoReply, match="timeout"):
        post(edge, server.url("https", "hooks.example"), limits=BRIEF)

    assert time.monotonic() - started_at < 0.75


# --- The guard ---

FORBIDDEN_HOSTS = [
    "127.0.0.1", "127.1", "127.255.255.254", "0x7f.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "0177.0.0.1",
    "0177.1", "2130706433", "017700000001", "localhost",  "0", "0.0.0.0", "0x0", "[::]", "[::1]",
    "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]",
    "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::a9fe:a9fe]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001::1]",
    "[2001:db8::1]", "[fe80::1]", "[fec0::1]", "[fd00:ec2::254]", "[ff02::1]", "[3fff::1]", "169.254.169.254",
    "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "10.0.0.1", "10.1", "100.100.100.200", "172.16.0.1",
    "192.168.1", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "4294967295",
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> HttpEdge:
    return HttpEdge(Route(AddressGuard()))


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
def test_no_spelling_of_a_forbidden_address_is_connected_to(guarded, peer, host):
    server = peer(answering(OK))

    with pytest.raises(ForbiddenAddress, match="address_forbidden"):
        post(guarded, server.url("https", host))

    assert server.connections == 0


def test_a_name_that_turns_to_a_forbidden_address_later_is_refused_then(make_edge, peer):
    server = peer(once(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
    getaddrinfo = resolving([("127.0.0.1", 0)], [("10.0.0.1", 0)])
    edge = make_edge(guard=AddressGuard(LOOPBACK), getaddrinfo=getaddrinfo)
    first = post(edge, server.url(host="hooks.example"))

    with pytest.raises(ForbiddenAddress):
        post(edge, server.url(host="hooks.example"))

    assert (first.status, server.connections, len(getaddrinfo.calls)) == (200, 1, 2)


def test_the_address_that_was_checked_is_the_one_connected_to(make_edge, peer):
    server = peer(answering(OK))
    getaddrinfo = resolving([("127.0.0.1", 0)], [("127.0.0.2", 1)])
    edge = make_edge(guard=AddressGuard(LOOPBACK), getaddrinfo=getaddrinfo)

    post(edge, server.url(host="hooks.example"))

    assert len(getaddrinfo.calls) == 1


def test_one_forbidden_answer_among_allowed_ones_stops_the_connection(make_edge, peer):
    server = peer(answering(OK))
    edge = make_edge(guard=AddressGuard(LOOPBACK), getaddrinfo=resolving([("127.0.0.1", 0), ("10.0.0.1", 0)]))

    with pytest.raises(ForbiddenAddress):
        post(edge, server.url(host="hooks.example"))

    assert server.connections == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://hooks.example/", "https_required"), ("https://hooks.example:8443/", "port_forbidden")],
)
def test_plain_http_and_other_ports_end_at_the_excepted_networks(make_edge, url, reason):
    edge = make_edge(guard=AddressGuard(LOOPBACK), getaddrinfo=resolving([("1.1.1.1", 0)]))

    with pytest.raises(ForbiddenAddress, match=reason):
        post(edge, url)


@pytest.mark.parametrize(
    "url", ["", "hooks.example", "ftp://hooks.example/", "https://", "https://[::1", "mailto:a@b.c"]
)
def test_what_cannot_be_requested_is_a_value_error_when_prepared(url):
    with pytest.raises(ValueError, match="not an http"):
        prepare("POST", url)


@pytest.mark.parametrize("value", ["hush\r\nX: y", "hush\0", "hüsh"])
def test_a_header_that_cannot_be_sent_is_a_value_error_that_does_not_quote_it(value):
    with pytest.raises(ValueError, match="printable ASCII") as caught:
        prepare("POST", "https://hooks.example/", {"Authorization": value})

    assert "sh" not in str(caught.value)
