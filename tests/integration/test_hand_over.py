"""Steps 4 and 5 in one process: who writes a callback sends it, and what it cannot send is left to the others."""

import threading
from contextlib import ExitStack

import pytest

from deploy.receiver import ANY_PATH, Mode, ModeKind, Receiver
from shared import jobs
from shared.callback import new_secret
from shared.db import conservation
from shared.lifecycle import FINAL_EVENT_TYPES
from tests.integration.worker_stage import PROVIDER, staged
from workers.deliver_callbacks import DeliverCallbacks
from workers.reconcile_events import ReconcileEvents

SECRET = new_secret(bytes(range(32)))


@pytest.fixture
def stage(settings):
    changes = {"callback_allowed_networks": ("127.0.0.0/8",), "callback_timeout_seconds": 1.0}
    with staged(settings.model_copy(update=changes)) as stage:
        yield stage


@pytest.fixture
def receiver():
    with Receiver({ANY_PATH: [SECRET]}) as receiver:
        yield receiver


@pytest.fixture
def sending(stage):
    """Make the sending half of a process, with other settings; drained at the end."""
    with ExitStack() as stack:

        def make(kind=DeliverCallbacks, **changes):
            callbacks = kind(stage.new_services(**changes))
            stack.callback(callbacks.drain)
            return callbacks

        yield make


def listening(stage, receiver, path="/callbacks"):
    """An endpoint at the receiver."""
    endpoint_id = stage.endpoint()
    stage.execute(
        "UPDATE endpoints SET url = :url, secret = :secret WHERE endpoint_id = :id",
        url=receiver.url + path,
        secret=stage.services.sealer.seal(SECRET.encode(), row=endpoint_id),
        id=endpoint_id,
    )
    return endpoint_id


def finish(callbacks):
    """Let what is in hand be sent and recorded."""
    callbacks.senders.wait_for_free(callbacks.senders.limit, timeout_s=10)
    callbacks.drain()


def ended(stage, count=1):
    """Messages whose summaries came in."""
    ids = [stage.keep() for _ in range(count)]
    for id_ in ids:
        stage.place(id_)
        stage.keep_webhook(stage.summary(id_))
    return ids


def states(stage):
    rows = stage.execute("SELECT state, attempts, count(*) AS n FROM callbacks GROUP BY 1, 2 ORDER BY 1, 2")
    return [(row.state, row.attempts, row.n) for row in rows]


def posts(stage):
    return stage.execute("SELECT number, http_status FROM delivery_attempts ORDER BY callback_id, number")


def is_rung(stage):
    return jobs.DELIVER_CALLBACKS in stage.rung


def findings(stage):
    return stage.database.run(lambda connection: conservation.findings(connection, 60))


def test_a_new_callback_is_sent_by_who_wrote_it(stage, receiver, sending):
    listening(stage, receiver)
    (id_,) = ended(stage)
    callbacks = sending()

    ReconcileEvents(stage.services, callbacks)()
    finish(callbacks)

    (received,) = receiver.received
    (event,) = stage.events(id_)
    assert received.is_verified
    assert received.headers["webhook-id"] == event.event_id
    assert (received.json()["type"], received.json()["sequence"]) == ("message.delivered", event.sequence)
    assert received.json()["data"]["id"] == id_
    assert received.json()["data"]["messageId"] == stage.message(id_).message_id
    assert (states(stage), posts(stage)) == ([("done", 1, 1)], [(1, 200)])
    assert not is_rung(stage)
    assert findings(stage) == []


def test_it_says_the_same_as_one_that_was_claimed_later(stage, receiver, sending):
    listening(stage, receiver)
    ended(stage)
    callbacks = sending()
    ReconcileEvents(stage.services, callbacks)()
    finish(callbacks)

    stage.execute("UPDATE callbacks SET state = 'due', due_at = now(), finished_at = NULL")
    sending()()

    first, second = receiver.wait_for(lambda all_: len(all_) == 2)
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


class Killed(DeliverCallbacks):
    """Its process dies after the commit, before a request leaves."""

    def take(self, claimed, claimed_at):
        pass


class Unrecorded(DeliverCallbacks):
    """Its process dies between the request and its record."""

    def _record(self, deliveries, patience_s):
        return [None] * len(deliveries)


@pytest.mark.parametrize(("kind", "sent"), [(Killed, 0), (Unrecorded, 1)])
def test_what_a_killed_process_had_in_hand_is_sent_when_its_lease_ends(stage, receiver, sending, kind, sent):
    listening(stage, receiver)
    (id_,) = ended(stage)
    dead = sending(kind)
    ReconcileEvents(stage.services, dead)()
    finish(dead)
    other = sending()

    other()
    other.senders.wait_for_free(other.senders.limit, timeout_s=10)
    before = len(receiver.received)
    (left,) = stage.execute("SELECT due_at > now() AS leased, due_at < now() + interval '31 s' AS soon FROM callbacks")
    stage.execute("UPDATE callbacks SET due_at = now()")
    other()
    finish(other)

    assert before == sent
    assert (left.leased, left.soon) == (True, True)
    assert {one.headers["webhook-id"] for one in receiver.received} == {stage.events(id_)[0].event_id}
    assert len(receiver.received) == sent + 1
    assert (states(stage), posts(stage)) == ([("done", 2, 1)], [(1, None), (2, 200)])
    assert findings(stage) == []


@pytest.mark.parametrize(("change", "state"), [("failing_since = now()", "due"), ("disabled_at = now()", "parked")])
def test_an_endpoint_that_is_not_well_is_left_to_the_callback_workers(stage, receiver, sending, change, state):
    endpoint_id = listening(stage, receiver)
    stage.execute(f"UPDATE endpoints SET {change} WHERE endpoint_id = :id", id=endpoint_id)
    ended(stage)
    callbacks = sending()

    ReconcileEvents(stage.services, callbacks)()
    finish(callbacks)

    assert (states(stage), posts(stage)) == ([(state, 0, 1)], [])
    assert is_rung(stage) == (state == "due")
    assert receiver.received == []


def test_what_a_process_has_no_room_for_is_due_at_once_for_others(stage, receiver, sending):
    listening(stage, receiver)
    receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.5))
    ended(stage, 5)
    callbacks = sending(callback_senders=2)

    ReconcileEvents(stage.services, callbacks)()
    at_once = states(stage)
    finish(callbacks)

    assert at_once == [("due", 0, 1), ("sending", 1, 4)]
    assert is_rung(stage)
    assert len(receiver.received) == 4


def test_an_endpoint_whose_line_is_long_gets_no_more_from_here_and_others_do(stage, receiver, sending):
    busy = listening(stage, receiver, "/busy")
    receiver.set_mode("/busy", Mode(kind=ModeKind.SLOW, seconds=0.5))
    callbacks = sending(callback_endpoint_limit=1)
    step = ReconcileEvents(stage.services, callbacks)
    ended(stage, 3)
    step()
    free = listening(stage, receiver, "/free")
    ended(stage)

    step()

    rows = stage.execute("SELECT endpoint_id, state, count(*) AS n FROM callbacks GROUP BY 1, 2")
    assert (busy, "due", 1) in rows
    assert (free, "due", 1) not in rows
    assert is_rung(stage)


def test_after_a_failure_the_callback_workers_take_over(stage, receiver, sending):
    listening(stage, receiver)
    receiver.set_mode("/callbacks", Mode(kind=ModeKind.STATUS, status=500))
    callbacks = sending(callback_endpoint_limit=1, callback_schedule=("3600",))
    step = ReconcileEvents(stage.services, callbacks)
    ended(stage, 4)
    step()
    callbacks.senders.wait_for_free(callbacks.senders.limit, timeout_s=10)
    tried = len(receiver.received)

    ended(stage)
    step()
    finish(callbacks)

    assert len(receiver.received) == tried
    assert states(stage) == [("due", 0, 5 - tried), ("due", 1, tried)]
    assert len(posts(stage)) == tried
    assert is_rung(stage)


def test_a_process_that_ends_takes_nothing_on_and_gives_back_what_waits(stage, receiver, sending):
    listening(stage, receiver)
    receiver.set_mode("/callbacks", Mode(kind=ModeKind.SLOW, seconds=0.3))
    callbacks = sending(callback_endpoint_limit=1)
    step = ReconcileEvents(stage.services, callbacks)
    ended(stage, 3)
    step()
    receiver.wait_for(len)

    callbacks.stop()
    ended(stage)
    step()
    callbacks.drain()

    sent = len(receiver.received)
    assert sent < 3
    assert states(stage) == [("done", 1, sent), ("due", 0, 4 - sent)]
    assert len(posts(stage)) == sent


def test_two_processes_hand_over_and_claim_and_send_each_callback_once(stage, receiver, sending):
    listening(stage, receiver)
    listening(stage, receiver, "/other")
    ids = ended(stage, 60)
    halves = [sending(callback_senders=8, callback_endpoint_limit=2) for _ in range(2)]
    steps = [ReconcileEvents(stage.services, half) for half in halves]
    threads = [threading.Thread(target=work) for work in (*steps, halves[0])]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    halves[0]()
    received = receiver.wait_for(lambda all_: len(all_) >= 2 * len(ids), timeout_s=20)
    for half in halves:
        finish(half)

    seen = [(one.path, one.headers["webhook-id"]) for one in received]
    assert len(seen) == len(set(seen)) == 2 * len(ids)
    assert states(stage) == [("done", 1, 2 * len(ids))]
    assert stage.execute("SELECT last_sequence FROM providers WHERE provider_id = :id", id=PROVIDER) == [(len(ids),)]
    assert findings(stage) == []


def test_endpoints_hear_only_what_they_asked_for(stage, receiver, sending):
    hears, deaf = listening(stage, receiver), listening(stage, receiver, "/deaf")
    stage.execute(
        "UPDATE endpoints SET event_types = :types WHERE endpoint_id = :id",
        types=[one for one in FINAL_EVENT_TYPES if one != "message.delivered"],
        id=deaf,
    )
    ended(stage)
    callbacks = sending()

    ReconcileEvents(stage.services, callbacks)()
    finish(callbacks)

    assert [row.endpoint_id for row in stage.execute("SELECT endpoint_id FROM callbacks")] == [hears]
    assert [one.path for one in receiver.received] == ["/callbacks"]
