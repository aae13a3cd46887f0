"""The gate: who needs a turn, who is counted how, and how long anybody waits for one."""

import asyncio

import pytest

from ingress import gate
from ingress.gate import Gate, Submission, leave_with, step_aside, submission_of
from ingress.turns import SLOTS, Turns


@pytest.fixture
def turns():
    return Turns()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("POST", path) for path in ("/api/webhooks/vca", "/api/webhooks/vss", "/v1/keys", "/api/make-call/", "/")),
        *(("GET", path) for path in ("/healthz", "/readyz", "/v1/messages", "/api/make-call")),
    ],
)
def test_other_routes_need_no_turn(method, path):
    assert submission_of(method, path, {}) is None


@pytest.mark.parametrize("path", sorted(gate.CALLS | gate.BATCHES))
def test_every_route_that_takes_messages_needs_a_turn(path):
    assert submission_of("POST", path, {}) is not None


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
    assert submission_of("POST", "/api/make-calls", {"content-length": length}).work == work


def test_senders_are_told_apart_by_what_they_authenticate_with():
    headers = [{}, {"authorization": "Basic a"}, {"authorization": "Basic b"}]
    asked = [submission_of("POST", "/api/make-call", one) for one in headers] + [
        submission_of("POST", "/api/make-calls", {"authorization": "Basic a"})
    ]

    assert len({one.sender for one in asked}) == 4


def test_a_submission_is_let_in_at_once_and_leaves(turns):
    leave = asyncio.run(Gate(turns).enter(Submission("bank", 1, 0.25)))

    assert turns.held == 1
    leave()
    assert turns.held == 0


def test_who_waits_is_let_in_when_another_leaves(turns):
    async def scene():
        door = Gate(turns)
        leaves = [await door.enter(Submission("bank", 1, 0.25)) for _ in range(SLOTS)]
        waiting = asyncio.create_task(door.enter(Submission("bank", 1, 0.25)))
        await asyncio.sleep(0)
        was_held = turns.held
        leaves[0]()
        (await waiting)()
        return was_held

    assert asyncio.run(scene()) == SLOTS + 1
    assert turns.held == SLOTS - 1


def test_nobody_waits_longer_than_patience_has(turns, monkeypatch):
    monkeypatch.setattr(gate, "_PATIENCE_S", 0.01)

    async def scene():
        door = Gate(turns)
        for _ in range(SLOTS):
            await door.enter(Submission("bank", 1, 0.25))
        return await door.enter(Submission("bank", 1, 0.25))

    assert asyncio.run(scene()) is None
    assert turns.held == SLOTS


def test_a_full_gate_refuses_before_and_after_the_body(turns, monkeypatch):
    monkeypatch.setattr(Turns, "_has_room_to_wait", lambda *_: False)
    late = Submission("bank", 1, 0.25)

    async def scene():
        door = Gate(turns)
        for _ in range(SLOTS):
            await door.enter(late)
        turns._order.append("shop")
        return door.refuses(late), await door.enter(late)

    assert asyncio.run(scene()) == (True, None)


def test_a_request_that_only_waits_lets_others_in(turns):
    leave = asyncio.run(Gate(turns).enter(Submission("bank", 1, 0.25)))
    environ = {}
    leave_with(environ, leave)

    step_aside(environ)

    assert turns.held == 0


def test_without_a_gate_nobody_need_step_aside():
    step_aside({})
