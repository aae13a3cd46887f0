"""When a message would be dialled, and whether that is in time."""

from dataclasses import replace

import pytest

from ingress import admission
from ingress.admission import Asked, Inflow, Speed
from shared.backlog import Backlog, Waiting
from shared.lifecycle import TYPES

NOW = 1_000_000.0
TTL_S = 120
QUICK_S = 0.01


def backlog(waiting=(), **changes):
    """A backlog of lane, provider and count, due by deadlines of the coming two minutes."""
    queues = {(lane, provider): (Waiting(count, NOW, NOW + TTL_S),) for lane, provider, count in waiting}
    return Backlog(**({"at": NOW, "pace": 10.0, "lines": 10_000.0, "waiting": queues} | changes))


def asked(lane="otp", provider="bank", ttl_s=TTL_S, **changes):
    return replace(Asked(lane, provider, NOW, NOW + ttl_s), **changes)


def told(known, message, speed=None, inflows=None):
    return admission.estimate(admission.outlook(known, speed or Speed(), inflows or {}), message, NOW)


def wait_s(*arguments, **keywords):
    return told(*arguments, **keywords).dial_at - NOW - QUICK_S


@pytest.mark.parametrize(
    ("waiting", "message", "expected"),
    [
        ([], asked(), 0),
        ([("otp", "bank", 100)], asked(), 10),
        ([("otp", "bank", 100)], asked(ttl_s=60), 5),
        ([("otp", "bank", 100)], asked(since=50), 15),
        ([("otp", "shop", 100)], asked(), 0),
        ([("otp", "shop", 100)], asked(since=20), 4),
        ([("otp", "bank", 100), ("otp", "shop", 100)], asked(), 20),
        ([("otp", "bank", 100), ("otp", "shop", 30)], asked(), 13),
        ([("otp", "bank", 30), ("otp", "shop", 100)], asked(), 6),
        ([("alert", "bank", 100), ("notification", "shop", 100)], asked(), 0),
        ([("otp", "shop", 50), ("alert", "bank", 100)], asked("alert"), 15),
        ([("alert", "bank", 100), ("notification", "shop", 40)], asked("alert"), 14),
        ([("otp", "shop", 50)], asked("notification"), 5),
    ],
)
def test_a_message_waits_for_those_that_are_dialled_before_it(waiting, message, expected):
    # Between the points of the curve the wait is interpolated.
    assert wait_s(backlog(waiting), message) == pytest.approx(expected, abs=0.5)


def test_the_nearest_limit_holds_of_pace_measured_rate_and_lines():
    known = backlog([("otp", "bank", 100)])

    assert wait_s(known, asked(), Speed(otp_per_s=5)) == pytest.approx(20, abs=0.5)
    assert wait_s(known, asked(), Speed(otp_per_s=50)) == pytest.approx(10, abs=0.5)
    assert wait_s(replace(known, lines=20), asked(), Speed(call_s=30)) == pytest.approx(120, rel=0.05)
    assert wait_s(replace(known, lines=100), asked(), Speed(call_s=30)) == pytest.approx(10, abs=0.5)
    assert wait_s(replace(known, lines=100, flying={"shop": 100}), asked(), Speed(call_s=30)) > 29


def test_other_lanes_leave_a_fifth_of_the_lines_alone():
    known = backlog([("alert", "bank", 100)], lines=10, flying={"bank": 8})

    assert wait_s(known, asked("alert", ttl_s=1800), Speed(call_s=8)) == pytest.approx(100, rel=0.05)


def test_who_has_more_calls_up_waits_for_who_has_fewer():
    known = backlog([("otp", "bank", 50), ("otp", "shop", 50)], flying={"bank": 30})

    assert wait_s(known, asked()) == pytest.approx(10, abs=0.5)
    assert wait_s(known, asked(provider="shop", ttl_s=1)) == pytest.approx(0, abs=0.5)


def test_what_keeps_coming_of_others_comes_before_too():
    known = backlog([("otp", "bank", 300)])
    steady = {("otp", "shop"): Inflow(per_s=5, lasts_s=600)}

    assert wait_s(known, asked(), inflows=steady) == pytest.approx(60, rel=0.05)


def test_otp_that_comes_faster_than_it_is_dialled_leaves_other_lanes_no_turn():
    steady = {("otp", "shop"): Inflow(per_s=20, lasts_s=10**6)}

    found = told(backlog([("otp", "shop", 10)]), asked("alert", ttl_s=86_400), inflows=steady)

    assert found.will_meet_deadline is False


def test_the_backlogs_age_is_part_of_the_wait():
    view = admission.outlook(backlog([("otp", "bank", 100)]), Speed(), {})

    early, late = (admission.estimate(view, asked(), NOW + age_s).dial_at for age_s in (0, 4))

    assert early == late == pytest.approx(NOW + 10, abs=0.5)
    assert admission.estimate(view, asked(), NOW + 60).dial_at == NOW + 60 + QUICK_S


def test_a_scheduled_message_is_not_dialled_before_its_time():
    assert told(backlog(), asked(begins=NOW + 50)).dial_at == NOW + 50 + QUICK_S


def test_nobody_dials_while_8x8_asked_for_a_pause():
    assert wait_s(backlog(held_until=NOW + 30), asked()) == pytest.approx(30)


@pytest.mark.parametrize(
    ("idle_s", "ttl_s", "dialed_after", "holds"),
    [
        (0.5, 20, 10, True),  # nothing unusual
        (3, 20, 13, True),
        (12, 20, 22, None),  # the workers may be back before
        (14, 5, 24, False),
        (16, 20, None, None),  # an outage
        (3600, 20, None, None),
        (3600, 5, None, False),
    ],
)
def test_idle_workers_are_a_delay_and_never_a_reason_to_refuse(idle_s, ttl_s, dialed_after, holds):
    known = replace(backlog(), waiting={("otp", "bank"): (Waiting(100, NOW + 1, NOW + 5),)})

    found = told(known, asked(ttl_s=ttl_s), Speed(otp_idle_since=NOW - idle_s))

    expected = dialed_after and pytest.approx(NOW + dialed_after, abs=0.5)
    assert (found.dial_at, found.will_meet_deadline) == (expected, holds)
    assert found.not_before == pytest.approx(NOW + 10, abs=0.5)


def test_idle_workers_of_other_lanes_delay_no_otp():
    known = backlog([("alert", "bank", 100)])
    speed = Speed(bulk_idle_since=NOW - 60)

    assert wait_s(known, asked(), speed) == pytest.approx(0, abs=0.5)
    assert told(known, asked("alert"), speed).dial_at is None


@pytest.mark.parametrize(("ttl_s", "holds"), [(11, True), (9, False)])
def test_a_deadline_holds_only_when_dialling_comes_before_it(ttl_s, holds):
    known = replace(backlog(), waiting={("otp", "bank"): (Waiting(100, NOW + 1, NOW + 5),)})

    assert told(known, asked(ttl_s=ttl_s)).will_meet_deadline is holds


@pytest.mark.parametrize(
    "changes",
    [
        {"paused": frozenset({"otp"})},
        {"probe_at": NOW + 15},
        {"source_probe_at": {"+6531580001": NOW + 15}},
    ],
)
def test_what_depends_on_others_is_not_estimated(changes):
    found = told(backlog(**changes), asked(source="+6531580001"))

    assert (found.dial_at, found.will_meet_deadline) == (None, None)


@pytest.mark.parametrize("changes", [{"probe_at": NOW + 300}, {"source_probe_at": {"+6531580001": NOW + 300}}])
def test_before_the_next_probe_no_deadline_can_be_met(changes):
    found = told(backlog(**changes), asked(source="+6531580001"))

    assert (found.dial_at, found.will_meet_deadline, found.not_before) == (None, False, NOW + 300)


def test_a_paused_otp_lane_holds_no_other_lane_up():
    known = backlog([("otp", "bank", 1000)], paused=frozenset({"otp"}))

    assert wait_s(known, asked("alert", ttl_s=1800)) == pytest.approx(0, abs=0.001)


def test_a_class_of_deadlines_counts_in_part():
    found = (Waiting(10, NOW, NOW + 10), Waiting(20, NOW + 20, NOW + 40), Waiting(1, NOW + 50, NOW + 50))

    assert [admission.place(found, NOW + at) for at in (-1, 5, 10, 30, 49, 50)] == [0, 5, 10, 20, 30, 31]


@pytest.mark.parametrize("lane", TYPES)
def test_a_later_place_is_never_dialled_earlier(lane):
    known = backlog([(lane, "bank", 500), (lane, "shop", 50), ("otp", "post", 100)], flying={"shop": 7})
    view = admission.outlook(known, Speed(), {("otp", "post"): Inflow(2, 30)})

    waits = [admission.estimate(view, asked(lane, since=since), NOW).dial_at for since in range(0, 20_000, 50)]

    assert waits == sorted(waits)
