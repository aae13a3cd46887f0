"""What two backlogs, one after the other, teach."""

from dataclasses import replace

import pytest

from ingress import learning
from ingress.admission import Inflow, Speed
from ingress.learning import Learned
from shared.backlog import Backlog, Waiting

FIRST = Backlog(at=100.0, pace=50.0, lines=500.0)


def waiting(lane="otp", count=1000):
    return {(lane, "bank"): (Waiting(count, 0, 1),)}


def taught(before, now, speed=None):
    return learning.learn(Learned(speed or Speed()), before, now).speed


@pytest.mark.parametrize(("lane", "known"), [("otp", (20, None)), ("alert", (None, 20))])
def test_a_backlog_that_is_dialled_tells_the_rate(lane, known):
    before = replace(FIRST, waiting=waiting(lane))

    speed = taught(before, replace(before, at=101.0, dialed=20))

    assert (speed.otp_per_s, speed.bulk_per_s) == known


def test_a_rate_follows_within_seconds():
    before = replace(FIRST, waiting=waiting())

    speed = taught(before, replace(before, at=103.0, dialed=30), Speed(otp_per_s=50))

    assert 10 < speed.otp_per_s < 30


@pytest.mark.parametrize(
    "now",
    [
        {"dialed": 0},  # nobody dials: messages are taken all the same
        {"dialed": 15, "held_until": 100.5},
        {"dialed": 15, "waiting": waiting(count=3)},
    ],
)
def test_what_is_no_steady_backlog_tells_no_rate(now):
    before = replace(FIRST, waiting=waiting())

    speed = taught(before, replace(before, **{"at": 101.0} | now))

    assert replace(speed, otp_idle_since=None) == Speed()


def test_workers_that_stop_have_not_slowed_down():
    before = replace(FIRST, waiting=waiting(), last_dials={"otp": 100.0})

    speed = taught(before, replace(before, at=101.0, dialed=30, last_dials={"otp": 100.6}))

    assert speed.otp_per_s == pytest.approx(50)


def test_workers_that_are_back_are_not_measured_by_their_absence():
    before = replace(FIRST, waiting=waiting(), last_dials={"otp": 97.0})

    speed = taught(before, replace(before, at=101.0, dialed=3, last_dials={"otp": 100.95}))

    assert speed.otp_per_s is None


def test_workers_that_are_back_have_a_second_before_they_are_measured():
    known, before = Learned(Speed()), replace(FIRST, waiting=waiting(), last_dials={"otp": 97.0})
    found = []
    for step in range(1, 6):
        at = 100 + step / 2
        now = replace(before, at=at, dialed=before.dialed + (1 if step < 3 else 20), last_dials={"otp": at})
        known, before = learning.learn(known, before, now), now
        found.append(known.speed.otp_per_s)

    assert found == [None, None, None, 40, 40]


@pytest.mark.parametrize(("stopped", "dials"), [("otp", "alert"), ("alert", "otp")])
def test_one_lane_does_not_tell_how_fast_another_is_that_stands_still(stopped, dials):
    before = replace(FIRST, waiting=waiting(stopped), last_dials={dials: 100.0, stopped: 90.0})

    speed = taught(before, replace(before, at=101.0, dialed=10, last_dials={dials: 101.0, stopped: 90.0}))

    assert (speed.otp_per_s, speed.bulk_per_s) == (None, None)


@pytest.mark.parametrize(("lane", "idle"), [("otp", (100.5, None)), ("alert", (None, 100.5))])
def test_workers_are_idle_since_their_last_dial(lane, idle):
    known, before = Learned(Speed()), replace(FIRST, waiting=waiting(lane), last_dials={lane: 100.0})
    for at in (100.5, 101.0, 104.0):
        now = replace(before, at=at)
        known, before = learning.learn(known, before, now), now

    assert (known.speed.otp_idle_since, known.speed.bulk_idle_since) == idle


@pytest.mark.parametrize(
    "now",
    [
        {"waiting": {}},
        {"dialed": 1, "last_dials": {"otp": 104.0}},
        {"held_until": 110.0},
        {"flying": {"bank": 500}},
        {"paused": frozenset({"otp"})},
        {"source_probe_at": {"+6531580001": 110.0}},
    ],
)
def test_workers_that_dial_or_may_not_are_not_idle(now):
    before = replace(FIRST, waiting=waiting(), last_dials={"otp": 99.0})

    since = taught(before, replace(before, at=104.0, **now), Speed(otp_idle_since=100.0)).otp_idle_since

    assert since in {None, 104.0}


def test_a_rate_fades_toward_what_is_allowed_while_nobody_waits():
    speed = taught(FIRST, replace(FIRST, at=160.0), Speed(otp_per_s=10))

    assert 30 < speed.otp_per_s < 50


def test_how_long_calls_last_follows_from_those_in_flight():
    known, before = Learned(Speed()), FIRST
    for second in range(1, 121):
        now = replace(FIRST, at=100.0 + second, dialed=10 * second, flying={"bank": min(200, 10 * second)})
        known, before = learning.learn(known, before, now), now

    assert known.speed.call_s == pytest.approx(20, rel=0.15)


def test_the_quick_time_is_learnt_only_while_nobody_waits():
    idle = taught(FIRST, replace(FIRST, at=130.0, quick_s=0.05))
    busy = taught(FIRST, replace(FIRST, at=130.0, quick_s=9.0, waiting=waiting()))

    assert idle.quick_s == pytest.approx(0.05, rel=0.1)
    assert busy.quick_s == Speed().quick_s


def test_a_clock_that_stands_still_teaches_nothing():
    assert learning.learn(Learned(Speed()), FIRST, FIRST) == Learned(Speed())


def test_an_inflow_begins_lasts_and_ends():
    begun = learning.inflow(None, 100, 0.5)
    lasting = learning.inflow(begun, 100, 0.5)
    fading = lasting
    for _ in range(30):
        fading = fading and learning.inflow(fading, 0, 0.5)

    assert (begun, lasting) == (Inflow(200, 0.5), Inflow(200, 1.0))
    assert fading is None
    assert lasting.within(0.5) == 100
    assert lasting.within(60) == 200
