"""Estimates against a model of the dialling: the median error stays within a fifth of the wait."""

import pytest

from ingress.admission import Speed
from ingress.learning import Learned
from tests.integration.drain_model import World, knowing

GOAL = 0.2


def test_one_provider_that_sends_faster_than_is_dialled():
    world = World()

    world.run(10, [("otp", "bank", 150, 120)])
    world.run(30)

    assert world.median_error() < GOAL


def test_a_burst_and_then_a_trickle():
    world = World()

    world.run(1, [("otp", "bank", 1000, 120)])
    world.run(15, [("otp", "bank", 5, 120)])
    world.run(10)

    assert world.median_error() < GOAL
    assert world.median_error(after=1.5) < GOAL


def test_two_providers_share_alike():
    world = World()

    world.run(10, [("otp", "bank", 90, 120), ("otp", "shop", 90, 120)])
    world.run(30)

    assert world.median_error() < GOAL


def test_a_small_provider_beside_a_large_one_waits_for_its_own():
    world = World()

    world.run(10, [("otp", "bank", 150, 120), ("otp", "shop", 10, 120)])
    world.run(30)

    assert world.median_error() < GOAL
    assert max(m.estimated - m.at for m in world.done if m.provider == "shop") < 2


def test_a_large_provider_is_told_of_a_small_one_that_keeps_sending():
    world = World()

    world.run(15, [("otp", "shop", 15, 120)])
    world.run(4, [("otp", "bank", 250, 120), ("otp", "shop", 15, 120)])
    world.run(40, [("otp", "shop", 15, 120)])

    assert world.median_error(after=15) < GOAL


def test_urgent_messages_pass_those_with_time():
    world = World()

    world.run(5, [("otp", "bank", 300, 600)])
    world.run(5, [("otp", "bank", 10, 15)])
    world.run(40)
    urgent = [m for m in world.done if m.deadline - m.at < 16]

    assert len(urgent) > 40
    assert max(m.estimated - m.at for m in urgent) < 2
    assert world.median_error() < GOAL


def test_other_lanes_wait_for_otp():
    world = World()

    world.run(10, [("otp", "bank", 30, 120)])
    world.run(6, [("otp", "bank", 30, 120), ("alert", "shop", 60, 1800)])
    world.run(30, [("otp", "bank", 30, 120)])

    assert world.median_error(lane="otp") < GOAL
    assert world.median_error(lane="alert") < GOAL


def test_lines_limit_what_the_pace_would_allow():
    world = knowing(World(lines=100, call_s=10), call_s=10)

    world.run(12, [("otp", "bank", 60, 600)])
    world.run(70)

    assert world.median_error() < GOAL


def test_how_long_calls_last_is_learnt():
    world = World(lines=100, call_s=12)

    world.run(20, [("otp", "bank", 5, 600)])
    world.run(20, [("otp", "bank", 40, 600)])
    world.run(120)

    assert world.median_error(after=30) < GOAL


def test_a_dialling_slower_than_allowed_is_measured():
    world = World(per_s=20, pace=50)

    world.run(20, [("otp", "bank", 60, 600)])
    world.run(70)

    assert world.median_error(after=3) < GOAL


def test_a_speed_once_measured_is_remembered_for_the_next_backlog():
    world = World(per_s=20, pace=50)
    world.run(10, [("otp", "bank", 40, 600)])
    world.run(15)

    world.done.clear()
    world.run(5, [("otp", "bank", 100, 600)])
    world.run(30)

    assert world.median_error() < GOAL


@pytest.mark.parametrize("away_s", [1.3, 2.7, 4.1])
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("begins_after", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_workers_that_are_replaced_are_no_reason_to_refuse(away_s, is_known, begins_after):
    world, sent = World(per_s=200, pace=1000), [("otp", "bank", 60, 20), ("alert", "shop", 30, 20)]

    world.run(4 + begins_after, sent)
    if not is_known:  # the ingress was replaced just before
        world.learned, world.backlog, world.inflows = Learned(Speed()), None, {}
    for _ in range(3):
        world.is_stopped = True
        world.run(away_s, sent)
        world.is_stopped, world.per_s = False, 5  # each begins slowly
        world.run(0.5, sent)
        world.per_s = 200
        world.run(4, sent)
    world.run(5)

    assert not world.waiting
    assert not any(message.is_refused for message in world.done)
    assert max(message.dialed - message.at for message in world.done) < 10
    told = [message for message in world.done if message.estimated]
    assert max(abs(message.estimated - message.dialed) for message in told) < away_s + 3


def test_without_any_worker_messages_are_taken_and_nothing_is_promised():
    world, sent = World(), [("otp", "bank", 5, 120)]
    world.run(3, sent)
    world.is_stopped = True

    world.run(60, sent)

    assert not any(message.is_refused for message in world.waiting)
    assert all(message.estimated is None for message in world.waiting if message.at > 1_000_020)


def test_without_a_backlog_the_estimate_is_the_quick_time():
    world = World()

    world.run(20, [("otp", "bank", 10, 120)])

    assert all(abs(m.estimated - m.dialed) < 0.05 for m in world.done if m.at > 1_000_010)
