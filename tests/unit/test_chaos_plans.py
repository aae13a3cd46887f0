"""What a drill sends, when it strikes, and how it tells: the same for the same seed."""

import itertools
from collections import Counter

import phonenumbers
import pytest

from deploy.bench.machine import Circumstances
from deploy.chaos.conductor import PROGRAMMES, Played
from deploy.chaos.drill import Result
from deploy.chaos.links import LINKS, disturbances
from deploy.chaos.page import page
from deploy.chaos.plot import curves, per_second
from deploy.chaos.records import Event, Evidence, Kind
from deploy.chaos.schedule import Blow, Wanted, strikes
from deploy.chaos.traffic import MOST, Traffic
from deploy.chaos.verdict import Promise, Verdict, Violation

ROLES = ["web", "calls-otp", "calls-bulk", "events", "callbacks", "sweeper"]
WANTED = Wanted(seconds=200, kills=60, redis=[Blow.REDIS, Blow.REDIS_WIPED], postgres=3, roles=ROLES)


def test_no_two_messages_share_a_number_or_an_id_and_every_number_is_valid():
    messages = Traffic(prefix="x", first=0, count=MOST, seed=1).messages()

    numbers = [message["customerPhone"] for message in messages]
    assert len(set(numbers)) == len({message["messageId"] for message in messages}) == MOST
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(number)) for number in numbers[::101])


def test_strikes_are_as_many_as_wanted_spread_over_the_time_and_over_every_role():
    planned = strikes(WANTED, seed=3)

    killed = Counter(strike.role for strike in planned if strike.role)
    assert killed == dict.fromkeys(ROLES, 10)
    assert Counter(strike.blow for strike in planned)[Blow.POSTGRES] == 3
    assert all(0 < strike.at_s < WANTED.seconds for strike in planned)
    assert planned == sorted(planned, key=lambda strike: strike.at_s)


@pytest.mark.parametrize("plan", [lambda seed: strikes(WANTED, seed), lambda seed: disturbances(20, 200, seed)])
def test_one_seed_makes_one_plan(plan):
    assert plan(3) == plan(3) != plan(4)


def test_links_go_wrong_one_after_the_other_each_in_its_turn():
    planned = disturbances(20, 200, seed=3)

    assert Counter(one.link for one in planned) == dict.fromkeys(LINKS, 5)
    assert all(one.at_s + one.for_s <= later.at_s for one, later in itertools.pairwise(planned))


def test_moments_are_counted_by_the_second():
    assert per_second([0.1, 0.9, 2.0, -1.0, 9.0], 3) == [2, 0, 1]


def test_a_timeline_starts_where_the_history_does():
    began = Event(kind=Kind.BEGAN, at_s=0.0, wall=1000.0)
    submit = Event(kind=Kind.SUBMIT, at_s=1.5, wall=1001.5, facts={"outcome": "ok"})

    drawn = curves(Evidence(history=(began, submit), sessions=(), deliveries=(), rows=(), attempts=()))

    assert drawn["accepted"] == [0, 1]


def test_a_verdict_fits_a_page_and_names_seed_machine_and_what_was_broken():
    violations = tuple(Violation(Promise.P1, f"lost {n}", ("m1",) * 9) for n in range(40))
    verdict = Verdict(violations, {f"figure {n}": n for n in range(20)})
    evidence = Evidence(history=(), sessions=(), deliveries=(), rows=(), attempts=())
    around = Circumstances("2 cores", "3.11", "abc", "2026-11-24", (), 0.0)

    text = page(Played(PROGRAMMES[0], 77, Result(verdict, evidence), 1.0), around)

    assert len(text.splitlines()) <= 66
    assert all(word in text for word in ("Seed 77", "2 cores", "BROKEN: P1", "P2 held", "lost 0"))
