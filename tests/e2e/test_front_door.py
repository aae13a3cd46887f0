"""The ingress as a socket sees it: what is odd, slow or gone disturbs nobody else."""

import socket
import time
from contextlib import suppress

import pytest

HEALTHY = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 10  # s


def say(stage, raw, *, until=b"}"):
    """Send bytes on a connection of their own; everything that comes back, up to *until*."""
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=PATIENCE) as connection:
        connection.sendall(raw)
        heard = b""
        while until not in heard and (piece := connection.recv(65536)):
            heard += piece
    return heard


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\n\r\n", 200),
        (b"GET /healthz HTTP/1.0\r\n\r\n", 200),
        (b"GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /%ff%fe%00 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /v1/messages?messageId=%ff HTTP/1.1\r\nHost: x\r\nAuthorization: \xff\r\n\r\n", 401),
        (b"DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /api/make-call HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 401),
        (b"POST /api/make-call HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n", 401),
    ],
)
def test_odd_requests_are_answered_as_they_deserve(stage, raw, status):
    heard = say(stage, raw)

    assert int(heard.split()[1]) == status
    assert b"x-request-id: req_" in heard


POST = b"POST /api/make-call HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SECOND = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
#: What is no sound HTTP, and how it is refused: by one answer, after which the connection is closed.
REFUSED = {
    "10,000 header lines": (b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 431),
    "a header of 1 MiB": (b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 2**20 + b"\r\n\r\n", 431),
    "a target of 70 KB": (b"GET /" + b"y" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), 400),
    "no hex of a chunk": (CHUNKED + b"2\r\n{}\r\nzz\r\n\r\n", 400),
    "a chunk of -2": (CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk beyond every number": (CHUNKED + b"f" * 18 + b"\r\n{}\r\n0\r\n\r\n", 400),
    "a chunk with 100 KB of extension": (CHUNKED + b"2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n", 400),
    "10,000 trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n", 400),
    "a length and chunks": (CHUNKED[:-2] + b"Content-Length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + SECOND, 401),
    "chunks and a length": (POST + b"Content-Length: 5\r\n" + CHUNKED[len(POST) :] + b"0\r\n\r\n" + SECOND, 401),
    "two lengths": (POST + b"Content-Length: 2\r\nContent-Length: 60\r\n\r\n{}" + SECOND, 400),
    "a length of +2": (POST + b"Content-Length: +2\r\n\r\n{}", 400),
    "a length of -1": (POST + b"Content-Length: -1\r\n\r\n{}", 400),
    "a length beyond every number": (POST + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n{}", 400),
    "chunks by another name": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND, 400),
    "chunks, then another coding": (POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND, 400),
    "chunks with a space in the name": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND, 400),
    "chunks on a line of their own": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND, 400),
    "chunks in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n" + SECOND, 400),
}


def test_what_is_no_sound_http_gets_one_refusal_and_no_second_request_is_seen_in_it(stage):
    heard = {name: everything(stage, raw) for name, (raw, _) in REFUSED.items()}

    told = {name: [int(part.split()[0]) for part in said.split(b"HTTP/1.1 ")[1:]] for name, said in heard.items()}
    assert told == {name: [] if status is None else [status] for name, (_, status) in REFUSED.items()}


def test_what_follows_a_sound_request_is_a_request_of_its_own_or_refused(stage):
    heard = everything(stage, HEALTHY + b"\xde\xad\xbe\xef\r\n\r\n")

    assert [int(part.split()[0]) for part in heard.split(b"HTTP/1.1 ")[1:]] == [200, 400]


@pytest.mark.parametrize("cut", [b"Content-Length: 50\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n50\r\n{}"])
def test_a_body_that_breaks_off_is_refused_though_what_came_is_json(stage, cut):
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=PATIENCE) as connection:
        connection.sendall(b"POST /api/webhooks/vss HTTP/1.1\r\nHost: x\r\nAuthorization: e2e-webhook-token\r\n" + cut)
        connection.shutdown(socket.SHUT_WR)
        heard = connection.recv(65536)

    assert heard.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in heard


def everything(stage, raw):
    """Send bytes; all that comes back until the server closes the connection."""
    heard = b""
    with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=PATIENCE) as connection:
        with suppress(ConnectionError):  # closed before all was sent
            connection.sendall(raw)
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                heard += piece
    return heard


def test_who_leaves_amid_a_body_disturbs_nobody(stage):
    head = b"POST /api/make-call HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", stage.settings.port), timeout=PATIENCE) as connection:
            connection.sendall(head)

    began = time.monotonic()

    assert b"200 OK" in say(stage, HEALTHY)
    assert time.monotonic() - began < 1


def test_bodies_that_do_not_come_hold_no_turn(stage):
    head = b"POST /api/make-call HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    slow = [socket.create_connection(("127.0.0.1", stage.settings.port), timeout=PATIENCE) for _ in range(300)]
    try:
        for connection in slow:
            connection.sendall(head)
        body = b'{"messageId":"x"}'
        length = str(len(body)).encode()
        asked = b"POST /api/make-call HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n" + body

        assert say(stage, asked).split()[1] == b"401"
    finally:
        for connection in slow:
            connection.close()
