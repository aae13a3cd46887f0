"""The ingress as a socket sees it: what is odd, slow or gone disturbs nobody else."""

import socket
import time

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
