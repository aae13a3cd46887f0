"""Prefer: wait=N holds the reply until 8x8 has answered, for few requests and not for long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingress import placements
from ingress.placements import MAX_WAITING, wait_wanted
from shared.db.queries import moves
from shared.lifecycle import Event, Move
from tests.integration.ingress_stage import call, staged

PATIENCE = 10  # s


@pytest.fixture(scope="module")
def stage(database_url, redis_url, tmp_path_factory):
    with staged(database_url, redis_url, tmp_path_factory.mktemp("data")) as stage:
        yield stage


def move(stage, message_id, *events, **facts):
    """Do what a worker would record."""
    row = stage.row(message_id)
    for event in events:
        stage.services.database.run(lambda c, event=event: moves.apply(c, [Move(row.id, event, due_in_s=60, **facts)]))


def meanwhile(stage, message_id, *events, **facts):
    """A worker that acts once the message is stored."""

    def work():
        ends = time.monotonic() + PATIENCE
        while not stage.rows("SELECT 1 FROM messages WHERE message_id = :id", id=message_id):
            assert time.monotonic() < ends
            time.sleep(0.01)
        move(stage, message_id, *events, **facts)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=1", 1),
        ("wait=10", 10),
        ("wait=11", 10),
        ("wait=9999", 10),
        ('wait="5"', 5),
        ("WAIT=5", 5),
        ("respond-async, wait=5", 5),
        ("wait=5, respond-async", 5),
        ("return=minimal; wait=5", 5),
        (" wait = 5 ", 5),
        ("", 0),
        ("wait", 0),
        ("wait=", 0),
        ("wait=0", 0),
        ("wait=-5", 0),
        ("wait=1.5", 0),
        ("wait=5s", 0),
        ("wait=ten", 0),
        ('wait="5', 0),
        ("wait=99999999999999", 0),
        ("await=5", 0),
    ],
)
def test_the_wish_to_wait_is_read_or_ignored(prefer, seconds):
    assert wait_wanted(prefer) == seconds


def test_a_waiting_request_learns_the_session(stage):
    body = call()
    worker = meanwhile(stage, body["messageId"], Event.CLAIMED, Event.CALL_PLACED, session_id="session-1")

    data = stage.make_call(body, {"Prefer": "wait=10"}).get_json()["data"]
    worker.join()

    assert (data["status"], data["sessionId"], data["sessionStatus"]) == ("placed", "session-1", "CREATED")
    assert (data["estimatedDialAt"], data["willMeetDeadline"]) == (None, None)


def test_a_waiting_request_learns_of_a_refusal(stage):
    body = call()
    worker = meanwhile(stage, body["messageId"], Event.CLAIMED, Event.DIAL_REFUSED, reason="invalid_number")

    data = stage.make_call(body, {"Prefer": "wait=10"}).get_json()["data"]
    worker.join()

    assert (data["status"], data["reason"]) == ("failed", "invalid_number")
    assert (data["sessionId"], data["sessionStatus"]) == (None, "NOT_CREATED")


def test_when_time_is_up_the_answer_is_pending(stage):
    started = time.monotonic()

    data = stage.make_call(call(), {"Prefer": "wait=1"}).get_json()["data"]

    assert (data["status"], data["sessionStatus"]) == ("queued", "PENDING")
    assert 1 <= time.monotonic() - started < 3


@pytest.mark.parametrize("prefer", ["wait=soon", "", "return=minimal"])
def test_without_a_sound_wish_the_answer_comes_at_once(stage, prefer):
    started = time.monotonic()

    assert stage.make_call(call(), {"Prefer": prefer}).status_code == 200
    assert time.monotonic() - started < 1


def test_beyond_the_cap_the_answer_comes_at_once_even_for_one_message(stage):
    message_id = stage.make_call(call()).get_json()["data"]["id"]
    watch = placements.Placements(stage.services.database)

    with ThreadPoolExecutor(MAX_WAITING) as threads:
        waiting = [threads.submit(watch.wait, message_id, PATIENCE) for _ in range(MAX_WAITING)]
        while sum(map(len, watch._waiting.values())) < MAX_WAITING:
            time.sleep(0.01)
        started = time.monotonic()
        answer = watch.wait(message_id, PATIENCE)
        took_s = time.monotonic() - started
        row = stage.rows("SELECT message_id FROM messages WHERE id = :id", id=message_id)[0]
        move(stage, row.message_id, Event.CLAIMED, Event.CALL_PLACED, session_id="session-2")

    assert (answer, took_s < 1) == (None, True)
    assert {one.result() for one in waiting} == {("placed", None, "session-2")}


def test_a_replay_of_a_placed_message_names_its_session(stage):
    body = call()
    stage.make_call(body)
    move(stage, body["messageId"], Event.CLAIMED, Event.CALL_PLACED, session_id="session-3")

    reply = stage.make_call(body, {"Prefer": "wait=10"})

    assert reply.headers["Idempotency-Replayed"] == "true"
    assert reply.get_json()["data"]["sessionId"] == "session-3"
