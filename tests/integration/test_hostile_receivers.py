"""Whatever a receiver does, a callback costs bounded time and memory, and goes nowhere but to its URL."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from deploy.receiver import Mode, ModeKind
from tests.integration.callback_stage import stages

_TOTAL_S = 0.5


@pytest.fixture
def stage(settings, database):
    with stages(settings) as stage:
        yield stage


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

    stage.deliver()

    row, attempt = outcome(stage, callback_id)
    assert (row.state, attempt.http_status) == ("done", 200)
    assert len(attempt.reply) <= 1024


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
