"""Kill switches: no call begins that a stop covers, what waits is held, and all of it flows once the stop ends."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from shared.db.database import DatabaseAway
from shared.db.queries import claim as claims
from shared.db.queries import stops
from shared.db.queries.pacing import open_pace
from shared.ids import new_id
from shared.lifecycle import Lane
from shared.pacing import Pace
from shared.stops import Scope, Stop
from tests.integration.worker_stage import PROVIDER, SOURCE, staged
from workers import place_calls
from workers.stopped_calls import Switches

#: ``RINGPOST_T15=full``: as large as the specification asks.
FULL = os.environ.get("RINGPOST_T15") == "full"
CHAD, OTHER = "+23570123456", "+6581234567"
COVERING = [
    Stop(Scope.GLOBAL, ""),
    Stop(Scope.LANE, "otp"),
    Stop(Scope.PROVIDER, PROVIDER),
    Stop(Scope.SOURCE, SOURCE),
    Stop(Scope.COUNTRY, "TD"),
    Stop(Scope.PREFIX, "+2357012"),
]
HELD = [stop for stop in COVERING if stop.scope not in (Scope.GLOBAL, Scope.LANE)]
PACE = Pace("test_voice", 1e6, 100_000, lease_s=30, ring_s=60)


@pytest.fixture
def stage(settings):
    with staged(settings) as stage:
        stage.database.run(lambda connection: open_pace(connection, "test_voice", 1e6))
        yield stage


def throw(stage, stop, for_s=None):
    stage.database.run(lambda connection: stops.stop(connection, stop, reason="fraud", by="tests", for_s=for_s))


def go(stage, stop):
    return stage.database.run(lambda connection: stops.go(connection, stop.scope, stop.name))


def claim(stage, *, lane=Lane.OTP):
    return stage.database.run(
        lambda connection: claims.claim(connection, PACE, lane, wanted=50, claim_id=new_id("claim")), alone=True
    )


def rung(stage):
    return sorted(entry.destination.lstrip("+") for entry in stage.simulator.ledger.accepted)


def in_chad(stage, **members):
    return stage.keep(CHAD, country="TD", **members)


@pytest.mark.parametrize("stop", COVERING, ids=lambda stop: stop.scope)
def test_what_a_stop_covers_is_not_called_until_it_ends_and_then_at_once(stage, stop):
    id_ = in_chad(stage)
    other = stage.keep(OTHER, provider_id="prov_1", lane=Lane.ALERT, source="+6531580002")
    throw(stage, stop)

    for _ in range(2):
        stage.dial()
        stage.dial(Lane.ALERT)
        stage.sweep()
    stopped, status = rung(stage), stage.message(id_).status
    go(stage, stop)
    stage.sweep()
    stage.dial()
    stage.dial(Lane.ALERT)

    assert stopped == ([] if stop.scope is Scope.GLOBAL else [OTHER[1:]])
    assert status == "queued"
    assert rung(stage) == sorted([CHAD[1:], OTHER[1:]])
    assert {stage.message(one).status for one in (id_, other)} == {"placed"}
    assert stage.execute("SELECT count(*) FROM stops") == [(0,)]


@pytest.mark.parametrize("stop", HELD, ids=lambda stop: stop.scope)
def test_what_is_held_is_claimed_no_more_and_expires_by_its_deadline_as_usual(stage, stop):
    id_ = in_chad(stage)
    throw(stage, stop)
    stage.dial()
    stage.sweep()

    claimed = claim(stage)
    message = stage.message(id_)
    stage.execute("UPDATE messages SET deadline = now(), due_at = now()")
    stage.sweep()

    assert (claimed.calls, claimed.waiting) == ([], False)
    assert (message.reason, message.due_at) == ("dialing_stopped", message.deadline)
    assert stage.state(id_) == ("expired", "deadline_passed")


def test_a_call_that_goes_back_is_charged_to_nobody(stage):
    id_ = in_chad(stage)
    throw(stage, Stop(Scope.PREFIX, "+2357012"))

    stage.dial()

    assert stage.simulator.ledger.accepted == []
    assert [(one.disposition, one.reason) for one in stage.attempts(id_)] == [("not_sent", "dialing_stopped")]
    assert stage.message(id_).busy_until is None
    assert stage.execute("SELECT DISTINCT calls FROM daily_calls") == [(0,)]


def test_a_claim_in_hand_when_the_stop_comes_goes_back_undialled(stage):
    """The claim knew of no stop; its POST is late, so it asks again."""
    id_ = in_chad(stage)
    dialer = stage.dialer()
    (call,) = claim(stage).calls
    throw(stage, Stop(Scope.GLOBAL, ""))

    dialer._dial(call, time.monotonic() - 1)
    dialer.drain()

    assert stage.simulator.ledger.accepted == []
    assert stage.message(id_).status == "queued"


def test_what_8x8_took_is_recorded_though_what_was_stopped_beside_it_cannot_be_put_back(stage, monkeypatch):
    id_, other = in_chad(stage), stage.keep(OTHER)
    dialer = stage.dialer()
    calls = {call.message_id: call for call in claim(stage).calls}
    monkeypatch.setattr(place_calls, "put_back", refuse)
    made, not_made = [], []
    monkeypatch.setattr(dialer._results, "submit", made.extend)
    dialer._dial(calls[other], time.monotonic())
    throw(stage, Stop(Scope.COUNTRY, "TD"))
    monkeypatch.setattr(dialer._results, "submit", not_made.extend)
    dialer._dial(calls[id_], time.monotonic() - 1)

    with pytest.raises(DatabaseAway):
        dialer._record([*not_made, *made], 20)

    assert len(stage.simulator.ledger.accepted) == 1
    assert (stage.message(other).status, stage.message(id_).status) == ("placed", "dialing")


def refuse(*_):
    raise DatabaseAway


def test_while_postgresql_is_silent_all_stops_that_anybody_knew_hold_and_it_is_asked_once(stage, monkeypatch):
    in_chad(stage)
    stage.keep(OTHER)
    by_country = {call.country: call for call in claim(stage).calls}
    switches = Switches(stage.database)
    throw(stage, Stop(Scope.COUNTRY, "TD"))
    long_ago = time.monotonic() - 60
    known = switches.stop_of(by_country["TD"], CHAD, [], long_ago)
    switches._known = (long_ago, switches._known[1])
    asked = []
    monkeypatch.setattr(stage.database, "run", lambda *_, **__: asked.append(1) or refuse())
    told = [Stop(Scope.PREFIX, OTHER[:7])]

    here = switches.stop_of(by_country["SG"], OTHER, told, long_ago)
    there = switches.stop_of(by_country["TD"], CHAD, told, long_ago)

    assert known == there == Stop(Scope.COUNTRY, "TD")
    assert here == told[0]
    assert asked == [1]


def test_nothing_is_held_for_a_stop_that_has_just_ended(stage):
    """A worker learnt of the stop, but only gives its call back when all was let go already."""
    id_ = in_chad(stage)
    stop = Stop(Scope.COUNTRY, "TD")
    dialer = stage.dialer()
    throw(stage, stop)
    claimed = claim(stage)
    go(stage, stop)
    stage.sweep()

    dialer._dial(claimed.calls[0], time.monotonic(), claimed.stops)
    dialer.drain()

    assert claimed.stops == (stop,)
    assert stage.execute("SELECT due_at <= now() FROM messages WHERE id = :id", id=id_) == [(True,)]


def test_a_stop_ends_by_itself_when_its_time_is_over(stage):
    id_ = in_chad(stage)
    for stop in (Stop(Scope.COUNTRY, "TD"), Stop(Scope.LANE, "otp")):
        throw(stage, stop, for_s=3600)
    stage.sweep()
    before = stage.message(id_).reason
    stage.execute("UPDATE stops SET until = now()")
    stage.execute("UPDATE lanes SET paused_until = now()")

    stage.sweep()
    stage.dial()

    assert (before, rung(stage)) == ("dialing_stopped", [CHAD[1:]])


def test_of_two_stops_the_one_that_stands_goes_on_holding(stage):
    id_ = in_chad(stage)
    throw(stage, Stop(Scope.COUNTRY, "TD"))
    throw(stage, Stop(Scope.PROVIDER, PROVIDER))
    stage.sweep()
    go(stage, Stop(Scope.COUNTRY, "TD"))

    stage.sweep()
    stage.dial()

    assert (rung(stage), stage.message(id_).reason) == ([], "dialing_stopped")


def test_a_stopped_passcode_keeps_no_other_lane_waiting(stage):
    in_chad(stage)
    alert = stage.keep(OTHER, lane=Lane.ALERT, provider_id="prov_1")
    throw(stage, Stop(Scope.PROVIDER, PROVIDER))
    stage.execute("UPDATE subaccounts SET otp_claimed_at = now()")
    stage.sweep()

    assert [call.message_id for call in claim(stage, lane=Lane.ALERT).calls] == [alert]


def test_many_held_by_a_prefix_are_looked_at_once_and_then_passed_over(stage):
    numbers = [f"+2357012{n:04}" for n in range(150)]
    stage.keep_all([stage.new_message(number, country="TD") for number in numbers])
    free = stage.keep(OTHER)
    throw(stage, Stop(Scope.PREFIX, "+2357012"))

    for _ in range(3):
        stage.dial()

    assert rung(stage) == [OTHER[1:]]
    assert stage.execute("SELECT max(attempt), count(*) FROM messages WHERE id <> :id", id=free) == [(1, 150)]


@pytest.mark.parametrize("stop", [Stop(Scope.GLOBAL, ""), Stop(Scope.PREFIX, "+2357012")], ids=lambda stop: stop.scope)
def test_no_post_of_a_burst_comes_later_than_two_seconds_after_the_stop(settings, stop):
    """T15: three workers in the middle of it, 8x8's ledger as the judge."""
    many = 20_000 if FULL else 900
    with staged(settings, dials_per_second=2000.0 if FULL else 150.0, dial_timeout_seconds=8) as stage:
        stage.keep_all([stage.new_message(f"+2357012{n:05}", country="TD") for n in range(many)])
        workers, over = [stage.dialer(stage.new_services()) for _ in range(3)], threading.Event()

        def work(worker):
            while not over.is_set():
                worker(Lane.OTP)
                over.wait(0.02)

        with ThreadPoolExecutor(3) as pool:
            done = [pool.submit(work, worker) for worker in workers]
            try:
                stage.simulator.wait_for(lambda ledger: len(ledger.entries) > 20, timeout_s=60)
                throw(stage, stop)
                stopped_at = datetime.now(UTC)
                over.wait(2.5)
            finally:
                over.set()
        for worker, one in zip(workers, done, strict=True):
            one.result()
            worker.drain()

        called = stage.simulator.ledger.accepted
        after_s = [(entry.accepted_at - stopped_at).total_seconds() for entry in called]
        late = [seconds for seconds in after_s if seconds > 2]
        left = dict(stage.execute("SELECT status, count(*) FROM messages GROUP BY status"))
        assert late == []
        assert 20 < len(called) < many
        assert left["queued"] == many - len(called)
        assert stage.execute("SELECT calls FROM daily_calls WHERE name = '*'") == [(len(called),)]
