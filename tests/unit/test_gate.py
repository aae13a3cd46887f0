"""The gate as a WSGI application: what passes, what is refused, and how the refusal looks."""

import io
import json

import pytest

from ingress.gate import Gate, step_aside
from ingress.problems import CODES


class Turns:
    """Remembers who came and went; lets everybody in, or nobody."""

    def __init__(self, *, full=False):
        self.full, self.came, self.left = full, [], []

    def enter(self, sender, work, *, good_time_s):
        self.came.append((sender, work))
        return None if self.full else object()

    def leave(self, turn):
        self.left.append(turn)


class App:
    """Counts its calls."""

    def __init__(self, error=None):
        self.calls, self.error = 0, error

    def __call__(self, environ, start_response):
        self.calls += 1
        if self.error:
            raise self.error
        start_response("200 OK", [])
        return [b"passed"]


def ask(gate, path="/api/make-call", **environ):
    """Status, headers and body of one request whose body must not be read to refuse it."""
    told = []
    known = {"REQUEST_METHOD": "POST", "PATH_INFO": path, "wsgi.input": io.BytesIO(b"{}")} | environ
    body = b"".join(gate(known, lambda status, headers: told.append((status, headers))))
    return told[0][0], dict(told[0][1]), body


@pytest.mark.parametrize("path", ["/api/make-call", "/api/make-calls"])
def test_a_submission_passes_in_its_turn(path):
    turns, app = Turns(), App()

    assert ask(Gate(app, turns), path)[2] == b"passed"
    assert (len(turns.came), len(turns.left)) == (1, 1)


@pytest.mark.parametrize("path", ["/api/make-call", "/api/make-calls"])
def test_a_full_gate_refuses_without_asking_the_app(path):
    app = App()

    status, headers, body = ask(Gate(app, Turns(full=True)), path)
    problem = json.loads(body)

    assert app.calls == 0
    assert status.startswith("503 ")
    assert headers["Retry-After"] == "1"
    assert headers["Content-Type"] == "application/problem+json"
    assert headers["Content-Length"] == str(len(body))
    assert headers["X-Request-Id"] == problem["requestId"]
    assert (problem["success"], problem["status"], problem["code"]) == (False, *CODES["overloaded"][:1], "overloaded")


def test_each_refusal_has_an_id_of_its_own():
    gate = Gate(App(), Turns(full=True))

    assert ask(gate)[1]["X-Request-Id"] != ask(gate)[1]["X-Request-Id"]


@pytest.mark.parametrize(
    "path", ["/api/webhooks/vca", "/api/webhooks/vss", "/healthz", "/readyz", "/v1/messages", "/api/make-call/", "/"]
)
def test_other_routes_pass_a_full_gate(path):
    turns = Turns(full=True)

    assert ask(Gate(App(), turns), path)[2] == b"passed"
    assert turns.came == []


def test_a_request_whose_answer_fails_leaves_its_place():
    turns = Turns()

    with pytest.raises(ZeroDivisionError):
        ask(Gate(App(ZeroDivisionError()), turns))

    assert len(turns.left) == 1


@pytest.mark.parametrize(
    ("length", "work"),
    [
        ("150000", 375),
        ("150", 1),
        ("", 1),
        ("-5", 1),
        ("many", 1),
        ("9999999", 5242),
        ("9" * 5000, 1),
        ("\u0664\u0664\u0664", 1),
    ],
)
def test_a_batch_counts_by_its_length(length, work):
    turns = Turns()

    ask(Gate(App(), turns), "/api/make-calls", CONTENT_LENGTH=length)

    assert turns.came[0][1] == work


def test_senders_are_told_apart_by_what_they_authenticate_with():
    turns = Turns()
    gate = Gate(App(), turns)

    for environ in ({}, {"HTTP_AUTHORIZATION": "Basic a"}, {"HTTP_AUTHORIZATION": "Basic b"}):
        ask(gate, **environ)
    ask(gate, "/api/make-calls", HTTP_AUTHORIZATION="Basic a")

    assert len({sender for sender, _ in turns.came}) == 4


def test_a_request_that_only_waits_lets_others_in():
    turns = Turns()
    seen = []

    def app(environ, start_response):
        step_aside(environ)
        seen.append(len(turns.left))
        return []

    Gate(app, turns)({"PATH_INFO": "/api/make-call"}, None)

    assert seen == [1]


def test_without_a_gate_nobody_need_step_aside():
    step_aside({})
