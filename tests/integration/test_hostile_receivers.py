"""Whatever a receiver does, a callback costs bounded time and memory, and goes nowhere but to its URL."""

import socket
import threading
import time
import tracemalloc
from contextlib import contextmanager, suppress
from ipaddress import ip_network

import pytest

from deploy.receiver import Mode, ModeKind
from shared.errors import UpstreamError
from shared.http import AddressGuard, HttpEdge, Limits, Route, prepare
from tests.integration.callback_stage import stages

_TOTAL_S = 0.5


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        yield stage


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
#: What a receiver may send without end, each a piece of several hundred kilobytes that is sent again and again.
FLOODS = {
    "header lines": (HEAD, b"A: " + b"a" * 60_000 + b"\r\n"),
    "one header line": (HEAD + b"A: ", b"a" * 300_000),
    "a status line": (b"HTTP/1.1 200 ", b"a" * 300_000),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 6000),
    "a body": (HEAD + b"Connection: close\r\n\r\n", b"a" * 300_000),
    "a body as large as announced": (HEAD + b"Content-Length: 999999999999\r\n\r\n", b"a" * 300_000),
    "one chunk": (CHUNKED + b"fffffff\r\n", b"a" * 300_000),
    "a chunk's extension": (CHUNKED + b"1;", b"a" * 300_000),
    "chunks of one byte": (CHUNKED, b"1;xxxx\r\na\r\n" * 20_000),
    "chunks that are none": (CHUNKED, b"zz\r\n" * 60_000),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n" * 60_000),
    "a TLS handshake": (b"\x16\x03\x03\x40\x00", b"\0" * 300_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_costs_bounded_time_and_memory(name):
    begin, again = FLOODS[name]
    scheme = "https" if name == "a TLS handshake" else "http"
    edge = HttpEdge(Route(AddressGuard((ip_network("127.0.0.0/8"),))))
    template = prepare("POST", "https://warm.example/")  # reads the certificates once
    with suppress(UpstreamError):
        edge.send(template, limits=Limits(total_s=0.01))
    with flooding(begin, again) as port:
        template = prepare("POST", f"{scheme}://127.0.0.1:{port}/")
        tracemalloc.start()
        started = time.monotonic()
        with suppress(UpstreamError):
            edge.send(template, b"{}", limits=Limits(connect_s=0.2, read_s=0.2, total_s=0.2))
        elapsed_s = time.monotonic() - started
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert elapsed_s < 10  # far from never
    assert peak < 1024 * 1024
    edge.close()


@contextmanager
def flooding(begin, again):
    """A server that sends without end and hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            try:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(begin)
                    while True:
                        connection.sendall(again)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def outcome(stage, callback_id):
    return stage.row("callbacks", callback_id), stage.attempts(callback_id)[-1]


@pytest.mark.parametrize(
    ("mode", "error"),
    [
        (Mode(kind=ModeKind.HANG), "timeout"),
        (Mode(kind=ModeKind.DRIP, seconds=0.05), "timeout"),
        (Mode(kind=ModeKind.SLOW, seconds=2), "timeout"),
        (Mode(kind=ModeKind.CLOSE), "closed"),
    ],
    ids=lambda value: value.kind if isinstance(value, Mode) else value,
)
def test_a_receiver_without_a_whole_answer_is_left_in_time_and_tried_again(stage, mode, error):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", mode)

    stage.deliver(callback_timeout_seconds=_TOTAL_S)

    row, attempt = outcome(stage, callback_id)
    assert (row.state, row.attempts, attempt.error) == ("due", 1, error)
    assert attempt.elapsed_ms < 1000 * (_TOTAL_S + 1)
    stage.hang_up()


@pytest.mark.parametrize("kind", [ModeKind.ENDLESS, ModeKind.GZIP_BOMB])
def test_of_a_huge_answer_no_more_is_read_than_is_kept(stage, kind):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=kind))

    stage.deliver(callback_timeout_seconds=10.0)  # the bomb is made at the first request

    row, attempt = outcome(stage, callback_id)
    assert (row.state, attempt.http_status) == ("done", 200)
    assert attempt.reply is None  # of a success nothing is kept


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"x" * 5000, "x" * 1024),
        ("grüezi".encode(), "grüezi"),
        (b"\x00\x1b[31m\xff", "\ufffd\ufffd[31m\ufffd"),
        (b"", ""),
    ],
    ids=["long", "utf-8", "binary", "empty"],
)
def test_the_beginning_of_an_answer_is_kept_as_harmless_text(stage, body, kept):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500, body=body))

    stage.deliver()

    assert outcome(stage, callback_id)[1].reply == kept


def test_a_redirect_is_a_failure_and_its_target_is_never_visited(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())
    stage.receiver.set_mode("/callbacks", Mode(kind=ModeKind.REDIRECT, location="/elsewhere"))

    stage.deliver()

    row, attempt = outcome(stage, callback_id)
    assert (row.state, attempt.error) == ("due", "http_302")
    assert [one.path for one in stage.receiver.received] == ["/callbacks"]


def test_a_private_address_is_refused_unless_the_operator_allows_it(stage):
    (callback_id,) = stage.callbacks(stage.endpoint())

    stage.deliver(callback_allowed_networks=())

    row, attempt = outcome(stage, callback_id)
    assert (row.state, row.attempts, attempt.error, attempt.http_status) == ("due", 1, "address_forbidden", None)
    assert stage.receiver.received == []


def test_a_connection_that_is_refused_is_tried_once_more_at_once(stage):
    with listener() as port:
        pass  # nobody listens there any more
    (callback_id,) = stage.callbacks(stage.endpoint(url=f"http://127.0.0.1:{port}/"))

    stage.deliver()

    row, attempt = outcome(stage, callback_id)
    assert (row.state, row.attempts, attempt.error) == ("due", 1, "refused")


def test_an_answer_that_is_not_http_is_a_failure(stage):
    with listener(answer=b"SSH-2.0-OpenSSH_9.2\r\n") as port:
        (callback_id,) = stage.callbacks(stage.endpoint(url=f"http://127.0.0.1:{port}/"))

        stage.deliver()

    row, attempt = outcome(stage, callback_id)
    assert (row.state, attempt.error, attempt.http_status) == ("due", "garbled", None)


def test_a_connection_that_is_never_accepted_costs_the_connect_timeout_twice_at_most(stage):
    with full_backlog() as port:
        (callback_id,) = stage.callbacks(stage.endpoint(url=f"http://127.0.0.1:{port}/"))
        started = time.monotonic()

        stage.deliver(callback_connect_seconds=0.3, callback_timeout_seconds=_TOTAL_S)

    row, attempt = outcome(stage, callback_id)
    assert (row.state, attempt.error) == ("due", "connect_timeout")
    assert time.monotonic() - started < 3


@contextmanager
def listener(answer=b""):
    """A TCP server that answers every connection with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def full_backlog():
    """A port whose queue of connections is full: the next one gets no answer at all."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        clients = []
        for _ in range(8):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            clients.append(client)
        yield server.getsockname()[1]
        for client in clients:
            client.close()
