"""Between granian's requests and Flask: heads, bodies, refusals, and who is cut off."""

import asyncio
import json
import signal
import threading
from types import SimpleNamespace

import pytest
from granian.rsgi import ProtocolClosed
from structlog.testing import capture_logs

from ingress import incoming, server
from ingress.environ import environ_of
from ingress.gate import CALLS, Gate
from ingress.lean import STREAMED
from ingress.server import Server
from ingress.turns import Turns
from shared.strand import aside


class Headers:
    """As granian gives them: each as often as it was sent."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def get(self, name):
        return next((value for key, value in self.pairs if key == name), None)

    def items(self):
        return list(self.pairs)


class Protocol:
    """A request's body, and what is answered."""

    def __init__(self, *chunks, error=None, breaks_off=False, takes=100):
        self.chunks, self.error, self.answer, self.read = chunks, error, None, 0
        #: Of a long answer: the pieces that were taken, and how many are.
        self.sent, self.takes = [], takes
        #: As granian gives them: an empty one is the end, or an error with the end behind it.
        self.pieces = iter([*chunks, b"", b""] if breaks_off else [*chunks, b""])
        self.arrives = asyncio.Event()
        self.arrives.set()
        self.answered = asyncio.Event()

    def __call__(self):
        return asyncio.ensure_future(self._whole())

    async def _whole(self):
        await self.arrives.wait()
        if self.error:
            raise self.error
        self.read += 1
        return b"".join(self.chunks)

    def __aiter__(self):
        return self

    def __anext__(self):
        try:
            return asyncio.ensure_future(self._piece(next(self.pieces)))
        except StopIteration:
            raise StopAsyncIteration from None

    async def _piece(self, piece):
        await self.arrives.wait()
        self.read += bool(piece)
        return piece

    def response_bytes(self, status, headers, body):
        assert self.answer is None
        self.answer = status, dict(headers), body
        self.answered.set()

    def response_stream(self, status, headers):
        self.answer = status, dict(headers)
        return self

    async def send_bytes(self, piece):
        if len(self.sent) == self.takes:
            await asyncio.Event().wait()
        self.sent.append(piece)


def scope(path="/api/make-call", *headers, method="POST"):
    return SimpleNamespace(
        http_version="1.1",
        server="127.0.0.1:5678",
        client="10.0.0.1:4000",
        scheme="http",
        method=method,
        path=path,
        query_string="a=b",
        headers=Headers(*headers),
    )


def echo(environ, start_response):
    """A WSGI application that says what it was asked, and where."""
    body = environ["wsgi.input"].read()
    start_response("202 Accepted", [("X-Thread", threading.current_thread().name), ("X-Size", str(len(body)))])
    return [body[:100]]


def ask(scope_, *protocols, app=echo, turns=None):
    """Answer requests side by side."""

    async def run():
        one = Server(app, Gate(turns))
        one.__rsgi_init__(asyncio.get_running_loop())
        await asyncio.gather(*(one.__rsgi__(scope_, protocol) for protocol in protocols))

    asyncio.run(run())
    return protocols[0].answer


def length(body):
    return ("content-length", str(len(body)))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/healthz"), ("GET", "/v1/events"), *(("POST", path) for path in ("/api/webhooks/vca", *sorted(CALLS)))],
)
def test_what_is_short_is_answered_on_the_loop(method, path):
    sent = b"{}" if method == "POST" else b""
    status, headers, body = ask(scope(path, length(sent), method=method), Protocol(sent))

    assert (status, headers["x-thread"], body) == (202, threading.current_thread().name, sent)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/make-calls"), ("GET", "/v1/messages"), ("POST", "/v1/endpoints/x/test")],
)
def test_what_is_long_or_rare_has_a_thread(method, path):
    answer = ask(scope(path, length(b"{}"), method=method), Protocol(b"{}"))

    assert answer[1]["x-thread"].startswith("request")


def long_answer(pieces):
    """An app whose answer is made piece by piece."""

    def app(environ, start_response):
        environ[STREAMED] = True
        start_response("200 OK", [("X-Thread", threading.current_thread().name), ("X-Request-Id", "req_long")])
        return iter(pieces)

    return app


def test_a_long_answer_is_sent_piece_by_piece_and_each_made_when_the_one_before_is_gone():
    protocol = Protocol()

    def pieces():
        for number in range(3):
            yield f"{number} after {len(protocol.sent)}, ".encode()

    ask(scope("/v1/messages.csv", method="GET"), protocol, app=long_answer(pieces()))

    assert protocol.answer[0] == 200
    assert b"".join(protocol.sent) == b"0 after 0, 1 after 1, 2 after 2, "


def test_who_takes_no_piece_of_a_long_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(server, "_SEND_S", 0.01)
    protocol = Protocol(takes=2)

    with capture_logs() as logs:
        ask(scope("/v1/messages.csv", method="GET"), protocol, app=long_answer([b"x"] * 9))

    assert protocol.sent == [b"x", b"x"]
    assert logs == [{"event": "answer_not_read", "log_level": "info", "request_id": "req_long"}]


def test_a_body_without_a_length_is_read_in_pieces():
    status, headers, body = ask(scope(), Protocol(b"ab", b"cd"))

    assert (status, headers["x-size"], body) == (202, "4", b"abcd")


@pytest.mark.parametrize(
    ("headers", "protocol"),
    [((), lambda: Protocol(b"{}", breaks_off=True)), ((length(b"{}{}"),), lambda: Protocol(error=ProtocolClosed()))],
    ids=["in chunks", "announced"],
)
def test_a_body_that_breaks_off_is_refused_and_its_connection_closed(headers, protocol):
    status, told, body = ask(scope("/api/make-call", *headers), protocol())

    assert (status, told["connection"], json.loads(body)["code"]) == (400, "close", "invalid_json")


def test_an_endless_body_is_not_read_to_its_end():
    protocol = Protocol(*[bytes(10_000)] * 9)

    assert ask(scope(), protocol)[1]["x-size"] == "20000"
    assert protocol.read == 2


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/api/make-call", 16 * 1024),
        ("/api/make-calls", 2 * 1024 * 1024),
        ("/api/webhooks/vss", 256 * 1024),
        ("/v1/messages", 16 * 1024),
        ("/v1/messages/batch", 2 * 1024 * 1024),
        ("/v1/keys", 64 * 1024),
    ],
)
def test_a_body_that_says_it_is_too_long_is_not_read(path, limit):
    for announced, reads in ((f"00{limit}", 1), (str(limit + 1), 0), ("9" * 30, 0)):
        protocol = Protocol(b"x")

        ask(scope(path, ("content-length", announced)), protocol)

        assert protocol.read == reads


def test_only_so_many_bytes_of_long_bodies_are_on_their_way_at_once(monkeypatch):
    monkeypatch.setattr(incoming, "_MOST_ON_ITS_WAY", 100_000)
    long, other, short, report = Protocol(b"1"), Protocol(b"2"), Protocol(b"3"), Protocol(b"4")

    async def run():
        one = Server(echo, Gate())
        one.__rsgi_init__(asyncio.get_running_loop())
        long.arrives.clear()
        slow = asyncio.create_task(one.__rsgi__(scope("/api/make-calls", ("content-length", "60000")), long))
        await asyncio.sleep(0)
        await one.__rsgi__(scope("/api/make-calls", ("content-length", "60000")), other)
        await one.__rsgi__(scope("/api/webhooks/vca", ("content-length", "900")), short)
        await one.__rsgi__(scope("/api/webhooks/vss", ("content-length", "60000")), report)  # has room of its own
        long.arrives.set()
        await slow

    asyncio.run(run())

    assert (long.answer[0], other.answer[0], short.answer[0], report.answer[0]) == (202, 503, 202, 202)


def test_requests_that_block_keep_no_short_one_waiting():
    freed = threading.Event()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/v1/messages":
            freed.wait(10)
        else:
            aside(lambda: None)
        return echo(environ, start_response)

    async def run():
        one = Server(app, Gate())
        one.__rsgi_init__(asyncio.get_running_loop())
        lists = [asyncio.create_task(one.__rsgi__(scope("/v1/messages", method="GET"), Protocol())) for _ in range(40)]
        await asyncio.sleep(0)
        action, ready = Protocol(b"{}"), Protocol()
        await one.__rsgi__(scope("/api/webhooks/vca", length(b"{}")), action)
        await one.__rsgi__(scope("/readyz", method="GET"), ready)
        held = sum(not task.done() for task in lists)
        freed.set()
        await asyncio.gather(*lists)
        return action.answer[0], ready.answer[0], held

    assert asyncio.run(run()) == (202, 202, 40)


def test_a_get_needs_no_body():
    protocol = Protocol(b"x")

    assert ask(scope(method="GET"), protocol)[0] == 202
    assert protocol.read == 0


def test_who_is_to_end_asks_its_clients_to_leave_and_ends_then(monkeypatch):
    monkeypatch.setattr(server, "_LEAVING_S", 0.01)
    before, after = Protocol(b"{}"), Protocol(b"{}")

    async def run():
        loop, ended, times = asyncio.get_running_loop(), asyncio.Event(), []
        loop.add_signal_handler(signal.SIGINT, lambda: (times.append(1), ended.set()))  # as granian has it
        one = Server(echo, Gate())
        one.__rsgi_init__(loop)
        await one.__rsgi__(scope(), before)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(ended.wait(), 10)
        await one.__rsgi__(scope(), after)
        return times

    assert asyncio.run(run()) == [1]
    assert "connection" not in before.answer[1]
    assert (after.answer[0], after.answer[1]["connection"]) == (202, "close")


@pytest.mark.parametrize("headers", [(length(b"late"),), ()], ids=["announced", "in chunks"])
def test_a_sender_who_is_slow_is_cut_off_and_holds_no_turn(monkeypatch, headers):
    monkeypatch.setattr(incoming, "_BODY_S", 0.01)
    monkeypatch.setattr(incoming, "_LOOK_S", 0.01)
    turns = Turns()

    async def run():
        protocol = Protocol(b"late")
        protocol.arrives.clear()
        one = Server(echo, Gate(turns))
        one.__rsgi_init__(asyncio.get_running_loop())
        asking = asyncio.create_task(one.__rsgi__(scope("/api/make-call", *headers), protocol))
        await protocol.answered.wait()
        held = turns.held
        await asking  # what it waited for never comes: nobody waits for it any more
        return held, protocol.answer

    held, (status, told, body) = asyncio.run(run())

    assert (held, status, json.loads(body)["code"]) == (0, 408, "request_timeout")
    assert told["connection"] == "close"
    assert told["x-request-id"] == json.loads(body)["requestId"]


def test_who_finds_no_place_is_refused_with_the_body_unread(monkeypatch):
    monkeypatch.setattr(Turns, "has_place", lambda *_, **__: False)
    protocol = Protocol(b"{}")

    status, headers, body = ask(scope("/api/make-call", length(b"{}")), protocol)
    problem = json.loads(body)

    assert protocol.read == 0
    assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/problem+json")
    assert (problem["success"], problem["status"], problem["code"]) == (False, 503, "overloaded")
    assert headers["x-request-id"] == problem["requestId"]


def test_each_refusal_has_an_id_of_its_own(monkeypatch):
    monkeypatch.setattr(Turns, "has_place", lambda *_, **__: False)
    refused = [Protocol(), Protocol()]

    ask(scope("/api/make-call"), *refused)

    assert refused[0].answer[1]["x-request-id"] != refused[1].answer[1]["x-request-id"]


def test_a_request_whose_answer_fails_is_told_so_and_leaves_its_place():
    turns = Turns()

    def broken(environ, start_response):
        raise ZeroDivisionError

    with capture_logs() as logs:
        status, headers, body = ask(scope(), Protocol(), app=broken, turns=turns)

    (line,) = logs
    assert (status, json.loads(body)["code"]) == (500, "internal_error")
    assert turns.held == 0
    assert (line["event"], line["path"]) == ("request_failed", "/api/make-call")
    assert line["request_id"] == json.loads(body)["requestId"] == headers["x-request-id"]


def test_what_an_answer_holds_is_closed():
    closed = []

    class Pieces(list):
        def close(self):
            closed.append(True)

    def app(environ, start_response):
        start_response("200 OK", [])
        return Pieces([b"a", b"b"])

    assert ask(scope(), Protocol(), app=app)[2] == b"ab"
    assert closed == [True]


def test_a_header_that_only_looks_like_another_is_left_out():
    asked = scope("/", ("x-forwarded-for", "198.51.100.7"), ("x_forwarded_for", "10.0.0.1"))

    environ = environ_of(asked, asked.path, asked.headers, b"")

    assert environ["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"


def test_the_head_as_wsgi_has_it():
    asked = scope("/é", ("content-type", "text/x"), ("x-one", "a"), ("x-one", "b"), ("content-length", "3"))

    environ = environ_of(asked, asked.path, asked.headers, b"abc")

    assert environ["PATH_INFO"] == "/é".encode().decode("latin-1")
    assert (environ["QUERY_STRING"], environ["REQUEST_METHOD"]) == ("a=b", "POST")
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"], environ["HTTP_X_ONE"]) == ("text/x", "3", "a,b")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("127.0.0.1", "5678", "10.0.0.1")
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_raw_query_and_an_address_of_six():
    asked = scope("/api/webhooks/vca")
    asked.query_string, asked.client, asked.http_version = "a=€", "[::1]:4000", "1"

    environ = environ_of(asked, asked.path, asked.headers, b"")

    assert environ["QUERY_STRING"] == "a=€".encode().decode("latin-1")
    assert (environ["REMOTE_ADDR"], environ["SERVER_PROTOCOL"]) == ("::1", "HTTP/1.0")
