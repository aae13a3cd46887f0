from datetime import UTC, datetime, timedelta

import pytest

from shared.retry_policy import (
    CALLBACK_SCHEDULE,
    REDIAL,
    RedialPolicy,
    next_callback_at,
    next_capacity_retry_at,
    next_dial_at,
    next_redial_at,
)

NOW = datetime(2027, 3, 1, 10, tzinfo=UTC)
LUCKY = 0.999999
A_DAY_S = 24 * 3600


def seconds(moment):
    return (moment - NOW).total_seconds()


# --- callbacks


@pytest.mark.parametrize(
    ("failures", "step_s"),
    [(1, 5), (2, 30), (3, 120), (4, 600), (5, 1800), (6, 7200), (7, 18000), (8, 36000), (9, A_DAY_S)],
)
def test_a_failed_callback_waits_its_step_and_up_to_a_fifth_more(failures, step_s):
    assert seconds(next_callback_at(failures, now=NOW, luck=0)) == step_s
    assert seconds(next_callback_at(failures, now=NOW, luck=0.5)) == pytest.approx(step_s * 1.1)
    assert step_s * 1.19 < seconds(next_callback_at(failures, now=NOW, luck=LUCKY)) < step_s * 1.2


def test_a_callback_is_parked_when_the_schedule_is_used_up():
    assert next_callback_at(len(CALLBACK_SCHEDULE) + 1, now=NOW, luck=0) is None
    assert next_callback_at(2, now=NOW, luck=0, schedule=CALLBACK_SCHEDULE[:1]) is None
    assert next_callback_at(1, now=NOW, luck=0, schedule=()) is None


@pytest.mark.parametrize(
    ("retry_after_s", "wait_s"),
    [
        (None, 30),
        (-5, 30),
        (0, 30),
        (29, 30),
        (90, 90),
        (A_DAY_S, A_DAY_S),
        (1e12, A_DAY_S),
        (float("inf"), A_DAY_S),
    ],
)
def test_retry_after_is_honoured_between_the_step_and_a_day(retry_after_s, wait_s):
    assert seconds(next_callback_at(2, now=NOW, luck=0, retry_after_s=retry_after_s)) == wait_s


def test_the_schedule_can_be_shortened():
    schedule = (timedelta(seconds=0.1), timedelta(seconds=0.2))

    assert seconds(next_callback_at(2, now=NOW, luck=0, schedule=schedule)) == 0.2


# --- dials


@pytest.mark.parametrize(
    ("tries", "most_s"),
    [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 30), (8, 30), (10_000, 30)],
)
def test_a_dial_that_created_no_call_is_repeated_with_full_jitter(tries, most_s):
    assert next_dial_at(tries, now=NOW, luck=0) == NOW
    assert seconds(next_dial_at(tries, now=NOW, luck=0.5)) == most_s / 2
    assert seconds(next_dial_at(tries, now=NOW, luck=LUCKY)) == pytest.approx(most_s, rel=1e-3)


@pytest.mark.parametrize(("retry_after_s", "least_s"), [(None, 0), (-1, 0), (7, 7), (300, 300), (1e9, 300)])
def test_8x8s_retry_after_comes_before_the_jitter(retry_after_s, least_s):
    assert seconds(next_dial_at(2, now=NOW, luck=0, retry_after_s=retry_after_s)) == least_s
    assert seconds(next_dial_at(2, now=NOW, luck=0.5, retry_after_s=retry_after_s)) == least_s + 0.5


@pytest.mark.parametrize(("failures", "most_s"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 30), (9, 30)])
def test_a_dial_refused_for_capacity_waits_at_least_half_its_step(failures, most_s):
    assert seconds(next_capacity_retry_at(failures, now=NOW, luck=0)) == most_s / 2
    assert seconds(next_capacity_retry_at(failures, now=NOW, luck=0.5)) == most_s * 0.75


@pytest.mark.parametrize("count", [0, -1])
def test_attempts_are_counted_from_one(count):
    for schedule in (next_callback_at, next_dial_at, next_capacity_retry_at):
        with pytest.raises(ValueError, match="counted from 1"):
            schedule(count, now=NOW, luck=0)


# --- redials


def redial(policy, attempts_made, *, lifetime_s=1e6, call_s=40, luck=0.0):
    deadline = NOW + timedelta(seconds=lifetime_s)
    return next_redial_at(policy, attempts_made, now=NOW, deadline=deadline, call_s=call_s, luck=luck)


@pytest.mark.parametrize(
    ("kind", "attempts_made", "wait_s"),
    [
        ("otp", 1, 5),
        ("otp", 2, None),
        ("alert", 1, 600),
        ("alert", 2, 600),
        ("alert", 3, None),
        ("notification", 1, 3600),
        ("notification", 2, None),
    ],
)
def test_each_type_of_message_is_redialled_by_its_own_policy(kind, attempts_made, wait_s):
    at = redial(REDIAL[kind], attempts_made)

    assert at == (None if wait_s is None else NOW + timedelta(seconds=wait_s))


@pytest.mark.parametrize(("kind", "lifetime_s"), [("otp", 120), ("alert", 1800), ("notification", 14400)])
def test_every_attempt_of_a_policy_fits_the_types_default_lifetime(kind, lifetime_s):
    policy, call_s, at, attempts = REDIAL[kind], 40, NOW, 1
    deadline = NOW + timedelta(seconds=lifetime_s)

    while (due := next_redial_at(policy, attempts, now=at, deadline=deadline, call_s=call_s, luck=LUCKY)) is not None:
        at, attempts = due + timedelta(seconds=call_s), attempts + 1

    assert attempts == policy.max_attempts


def test_a_phone_is_not_called_again_when_ring_and_one_play_would_miss_the_deadline():
    assert redial(REDIAL["otp"], 1, lifetime_s=45, call_s=40) is not None
    assert redial(REDIAL["otp"], 1, lifetime_s=44.9, call_s=40) is None
    assert redial(REDIAL["otp"], 1, lifetime_s=45, call_s=40, luck=0.1) is None


def test_luck_spreads_redials_by_a_fifth():
    assert redial(REDIAL["otp"], 1, luck=0.5) == NOW + timedelta(seconds=5.5)


def test_the_last_wait_repeats_for_further_attempts():
    policy = RedialPolicy(max_attempts=4, waits=(timedelta(seconds=5), timedelta(seconds=60)))

    waits = [seconds(redial(policy, attempts_made)) for attempts_made in (1, 2, 3)]

    assert waits == [5, 60, 60]
    assert redial(policy, 4) is None
