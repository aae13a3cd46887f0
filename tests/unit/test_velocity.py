"""How much came lately: exact for numbers, sliding for ranges and providers, bounded in memory."""

import random

import pytest

from ingress import velocity
from ingress.velocity import Asked, Full, Taken, Velocity

NOON = 1_800_000_000.0
LIMITS = ((3, 600), (10, 86400))


def asked(number="1", *, limits=LIMITS, per_hour=0, per_minute=0):
    return Asked(number.encode(), "prov:range", "prov", limits, per_hour, per_minute)


def send(counts, at, one=None):
    taken = counts.take(one or asked(), at)
    if isinstance(taken, Taken):
        counts.keep(taken)
    return taken


def test_a_number_is_called_three_times_in_ten_minutes_and_ten_times_a_day():
    counts = Velocity()
    accepted = [at for at in range(0, 2 * 86400, 60) if isinstance(send(counts, NOON + at), Taken)]

    for start in accepted:
        assert sum(start <= at < start + 600 for at in accepted) <= 3
        assert sum(start <= at < start + 86400 for at in accepted) <= 10
    assert len(accepted) == 20


def test_who_is_refused_is_told_when_it_will_be_let_in_and_not_a_second_sooner():
    counts = Velocity()
    for at in (0, 100, 200):
        send(counts, NOON + at)

    full = counts.take(asked(), NOON + 250)

    assert full == Full("number_limit", 3, 600, 350)
    assert isinstance(counts.take(asked(), NOON + 599), Full)
    assert isinstance(counts.take(asked(), NOON + 250 + full.retry_after_s), Taken)


def test_what_gathered_while_redis_was_away_is_told_in_parts_and_once():
    counts = Velocity()
    for number in range(1200):
        send(counts, NOON, asked(str(number)))

    told = [counts.untold().moments for _ in range(4)]

    assert [len(part) for part in told] == [500, 500, 200, 0]
    assert len({number for part in told for number, _, _ in part}) == 1200


def test_what_is_given_back_counts_for_nothing():
    counts = Velocity()
    one = asked(per_hour=3, per_minute=3)
    for _ in range(50):
        counts.give_back(counts.take(one, NOON))

    assert [type(send(counts, NOON, one)) for _ in range(4)] == [Taken, Taken, Taken, Full]
    assert len(counts.untold().moments) == 3


def test_a_refused_message_counts_nowhere():
    counts = Velocity()
    for _ in range(100):
        send(counts, NOON, asked(per_minute=50))

    assert sum(isinstance(send(counts, NOON, asked(str(n), per_minute=50)), Taken) for n in range(2, 90)) == 47


@pytest.mark.parametrize(("code", "changes", "period"), [
    ("prefix_limit", {"per_hour": 100}, 3600), ("provider_limit", {"per_minute": 100}, 60),
])  # fmt: skip
def test_a_range_and_a_provider_are_never_let_send_more_in_any_period_than_the_limit_and_its_slack(
    code, changes, period
):
    luck, counts, at, accepted = random.Random(code), Velocity(), NOON, []
    for n in range(4000):
        at += luck.expovariate(300 / period)
        taken = send(counts, at, asked(str(n), **changes))
        if isinstance(taken, Taken):
            accepted.append(at)
        else:
            assert (taken.code, 1 <= taken.retry_after_s <= 2 * period) == (code, True)

    # A sliding count takes what came before for evenly spread: at most so much more.
    most = max(sum(start <= one < start + period for one in accepted) for start in accepted)
    assert 90 <= most <= 130


def test_retry_after_of_a_count_is_kept():
    counts = Velocity()
    for n in range(150):
        send(counts, NOON + n / 10, asked(str(n), per_minute=100))

    full = counts.take(asked("x", per_minute=100), NOON + 15)

    assert isinstance(counts.take(asked("x", per_minute=100), NOON + 15 + full.retry_after_s), Taken)
    assert full.retry_after_s <= 60


def test_memory_is_bounded_however_many_numbers_come(monkeypatch):
    monkeypatch.setattr(velocity, "MOST_NUMBERS", 100)
    monkeypatch.setattr(velocity, "MOST_COUNTS", 100)
    counts = Velocity()
    for n in range(1000):
        counts.take(Asked(str(n).encode(), f"prov:{n}", "prov", LIMITS, 5, 0), NOON)

    assert len(counts._moments) == len(counts._counts) == 100


def test_a_number_at_its_limit_is_remembered_longer_than_the_others(monkeypatch):
    monkeypatch.setattr(velocity, "MOST_NUMBERS", 100)
    counts = Velocity()
    counts.hear_moments(b"1", [int(NOON * 1000) - second * 1000 for second in (1, 2, 3)], LIMITS)
    for n in range(1000):
        send(counts, NOON, asked(f"other {n}"))

    assert isinstance(counts.take(asked(), NOON), Full)
